/* What a client wants of a handshake. */
#ifndef NBDCRYPT_CLIENT_WISHES_H
#define NBDCRYPT_CLIENT_WISHES_H

#include <stdbool.h>

#include "server/base/error.h"
#include "server/client/channel.h"

struct client_wishes {
    const char *export_name; /* at most NBD_STRING_BYTES_MAX */
    bool structured_replies;
    bool extended_headers; /* rather than structured replies, where the server has them */
    bool base_allocation;  /* the meta context; needs structured replies or extended headers */
    /* Does TLS, after the server has agreed, and protects the channel from then on; 0 or -errno
     * with a message.  NULL: no TLS. */
    int (*start_tls)(void *context, struct channel *channel, struct error *err);
    void *context;
};

#endif
