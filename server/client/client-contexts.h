/* Metadata contexts of an export, seen from the client: which ones the server has, and which it is
 * to tell of.  Part of a handshake: structured replies have been agreed on.
 * Source: NetworkBlockDevice/nbd doc/proto.md, "Metadata querying". */
#ifndef NBDCRYPT_CLIENT_CONTEXTS_H
#define NBDCRYPT_CLIENT_CONTEXTS_H

#include "server/base/error.h"
#include "server/block/meta-contexts.h"
#include "server/client/channel.h"

/* Asks for all that there are, and adds those that can be kept; how many can't goes into
 * `left_out`.  A server that refuses has none.  Else -errno with a sentence. */
NODISCARD int client_contexts_list(struct meta_contexts *out, unsigned *left_out,
                                   struct channel *channel, const char *export_name,
                                   struct error *err);
/* Asks for base:allocation and for these (may be NULL); `out` says which of them the server will
 * tell of.  If what it answers can't be used, it is asked once more, for base:allocation alone, and
 * `refusal` says why; else that is NULL.  -EPROTO: its answer does not end; or what the channel
 * says. */
NODISCARD int client_contexts_set(struct meta_context_ids *out, const char **refusal,
                                  struct channel *channel, const char *export_name,
                                  const struct meta_contexts *contexts, struct error *err);

#endif
