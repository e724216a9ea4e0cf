/* NBD URIs, as far as this program connects to them: nbd://HOST[:PORT][/NAME] and
 * nbd+unix:///[NAME]?socket=PATH.  Source: NetworkBlockDevice/nbd doc/uri.md. */
#ifndef NBDCRYPT_NBD_URI_H
#define NBDCRYPT_NBD_URI_H

#include "server/error.h"

struct nbd_uri {
    char *text;              /* what the rest points into */
    const char *host, *port; /* NULL with a Unix socket */
    const char *socket_path; /* NULL with TCP */
    const char *export_name; /* "": the default export */
};

/* -EINVAL with a sentence that quotes the URI; nothing has to be freed then. */
NODISCARD int nbd_uri_parse(struct nbd_uri *out, const char *text, struct error *err);
void nbd_uri_free(struct nbd_uri *uri);

/* A connected stream socket, blocking, on which reading or writing nothing for `timeout_s`
 * fails; or -errno with a sentence. */
NODISCARD int nbd_uri_connect(const struct nbd_uri *uri, unsigned timeout_s, struct error *err);

#endif
