/* The handshake, seen from the client: from the greeting to the transmission phase.
 * Source: NetworkBlockDevice/nbd doc/proto.md, "Handshake phase" (fixed newstyle). */
#ifndef NBDCRYPT_CLIENT_HANDSHAKE_H
#define NBDCRYPT_CLIENT_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "server/block/meta-contexts.h"
#include "server/client/channel.h"
#include "server/base/error.h"

struct client_wishes {
    const char *export_name; /* at most NBD_STRING_BYTES_MAX */
    bool structured_replies;
    bool extended_headers; /* rather than structured replies, where the server has them */
    bool base_allocation;  /* the meta context; needs structured replies or extended headers */
    /* With base_allocation: others that are asked for, too; or, where `listed` is there, all that
     * the server lists, which are added to it.  Both may be NULL. */
    const struct meta_contexts *contexts;
    struct meta_contexts *listed;
    /* Does TLS, after the server has agreed, and protects the channel from then on; 0 or -errno
     * with a message.  NULL: no TLS. */
    int (*start_tls)(void *context, struct channel *channel, struct error *err);
    void *context;
};

/* What the server says of an export. */
struct export_info {
    uint64_t size_bytes; /* at most INT64_MAX */
    uint16_t flags;      /* NBD_FLAG_* of the transmission phase */
    /* Of requests, whatever it says of them: 0, 0 and 0 if it says nothing. */
    uint32_t block_min_bytes, block_preferred_bytes, block_max_bytes;
    bool structured_replies; /* in chunks: also with extended headers */
    bool extended_headers, base_allocation;
    struct meta_context_ids context_ids; /* in replies to BLOCK_STATUS */
    unsigned contexts_left_out;          /* of those that the server lists */
    const char *contexts_refusal; /* why base:allocation alone was asked for in the end, or NULL */
};

/* Asks for an export on a connected socket.  A server that has not what is wished for besides TLS
 * is used without.  -errno with a sentence: the server refuses, closes the connection, does not
 * answer in time, or does not speak the protocol. */
NODISCARD int client_handshake(struct export_info *out, struct channel *channel,
                               const struct client_wishes *wishes, struct error *err);

/* Which disk the export is, so that another one of the same name is told from it: the UUID of its
 * volume, as nbdcrypt alone tells it; "" of other servers, and of disks that have none.  A
 * handshake of its own, which ends the connection. */
#define CLIENT_UUID_BYTES 40u
NODISCARD int client_handshake_uuid(char uuid[CLIENT_UUID_BYTES], struct channel *channel,
                                    const struct client_wishes *wishes, struct error *err);

#endif
