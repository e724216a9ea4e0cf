/* Options of the handshake and their replies, seen from the client: what client-handshake.c and
 * client-list.c make their conversations of.
 * Source: NetworkBlockDevice/nbd doc/proto.md, "Handshake phase" (fixed newstyle). */
#ifndef NBDCRYPT_CLIENT_OPTIONS_H
#define NBDCRYPT_CLIENT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "server/block/meta-contexts.h"
#include "server/client/channel.h"
#include "server/nbd/nbd-wire.h"

/* The longest that means anything: 32 bits length, a name and a description. */
#define OPTION_REPLY_TEXT_MAX (4 + 2 * NBD_STRING_BYTES_MAX)

struct option_answer {
    uint32_t type;
    uint32_t length_bytes;                   /* of what came */
    uint32_t kept_bytes;                     /* of it, in `data` */
    uint8_t data[OPTION_REPLY_TEXT_MAX + 1]; /* with a NUL behind it */
};

/* Does TLS, after the server has agreed, and protects the channel from then on; 0 or -errno with a
 * message. */
typedef int client_start_tls_fn(void *context, struct channel *channel, struct error *err);

/* All: 0, or -errno with a sentence: what the channel says, or -EPROTO. */

/* Begins: the greeting is taken and answered. */
NODISCARD int client_option_greet(struct channel *channel, bool *no_zeroes, struct error *err);
/* -ECONNREFUSED: the server has no TLS. */
NODISCARD int client_option_start_tls(struct channel *channel, client_start_tls_fn *start_tls,
                                      void *context, struct error *err);
NODISCARD int client_option_send(struct channel *channel, uint32_t option, const uint8_t *data,
                                 uint32_t length_bytes, struct error *err);
/* One reply to it. */
NODISCARD int client_option_receive(struct channel *channel, uint32_t option,
                                    struct option_answer *answer, struct error *err);
/* An option without data that is either granted or not. */
NODISCARD int client_option_ask(struct channel *channel, uint32_t option, bool *granted,
                                struct error *err);
/* Sends LIST_META_CONTEXT or SET_META_CONTEXT with such queries; of names that may be sent. */
struct client_queries {
    const char *texts[META_CONTEXTS_MAX];
    unsigned count;
};
NODISCARD int client_option_ask_contexts(struct channel *channel, uint32_t option, const char *name,
                                         const struct client_queries *queries, struct error *err);
NODISCARD int client_option_discard(struct channel *channel, uint32_t length_bytes,
                                    struct error *err);

/* -ECONNREFUSED, with the sentence that a reply of refusal deserves. */
int client_option_refused(const struct option_answer *answer, const char *name, struct error *err);

#endif
