/* Addresses to listen on, as --unix and --listen name them. */
#ifndef NBDCRYPT_LISTEN_ADDRESS_H
#define NBDCRYPT_LISTEN_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "server/base/error.h"

/* Who may connect to a Unix socket, as files have it: to write is to connect. */
struct unix_permissions {
    bool has_mode, has_group; /* else what the umask and the process say */
    mode_t mode;
    gid_t group;
};

/* Where clients connect. */
struct listen_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } address;
    socklen_t address_bytes;
    struct unix_permissions permissions; /* of a Unix socket */
    const char *text; /* as the user wrote it, for messages; it stays as long as argv */
};

/* -EINVAL with a sentence: empty, or longer than the system allows.  `path` must stay. */
NODISCARD int listen_address_parse_unix(struct listen_address *out, const char *path,
                                        struct error *err);
/* ADDR:PORT, numeric; an IPv6 address in brackets, with a scope if need be.  -EINVAL with a
 * sentence. `text` must stay. */
NODISCARD int listen_address_parse_tcp(struct listen_address *out, const char *text,
                                       struct error *err);

/* "0660", in octal digits; `option` is named in messages ("unix-mode").  -EINVAL with a sentence.
 */
NODISCARD int unix_permissions_parse_mode(struct unix_permissions *out, const char *option,
                                          const char *text, struct error *err);
/* A number, or a name, which is looked up now.  -EINVAL with a sentence. */
NODISCARD int unix_permissions_parse_group(struct unix_permissions *out, const char *option,
                                           const char *text, struct error *err);

/* Can't both be listened on.  Port 0 is another one each time. */
bool listen_address_is_taken(const struct listen_address *a, const struct listen_address *b);

#endif
