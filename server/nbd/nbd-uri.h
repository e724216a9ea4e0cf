/* NBD URIs: nbd[s]://[USER@]HOST[:PORT][/NAME] and nbd[s]+unix://[USER@]/[NAME]?socket=PATH.
 * Source: NetworkBlockDevice/nbd doc/uri.md; RFC 3986. */
#ifndef NBDCRYPT_NBD_URI_H
#define NBDCRYPT_NBD_URI_H

#include <stdbool.h>

#include "server/base/error.h"

struct nbd_uri {
    char *text;              /* what the rest points into */
    bool tls;                /* nbds */
    const char *user;        /* NULL: none is named */
    const char *host, *port; /* NULL with a Unix socket; the host is "localhost" if none is named,
                              * and an address may have a scope, as in fe80::1%eth0 */
    char *host_alone; /* of an address in brackets: without the scope, which no certificate names;
                       * NULL: the same as `host` */
    const char *socket_path;                     /* NULL with TCP */
    const char *tls_certificates, *tls_psk_file; /* NULL: not named; neither has to be */
    const char *export_name;                     /* "": the default export */
};

/* -EINVAL with a sentence that does not name the URI, or -ENOMEM; nothing has to be freed then. */
NODISCARD int nbd_uri_parse(struct nbd_uri *out, const char *text, struct error *err);
void nbd_uri_free(struct nbd_uri *uri);

/* For who has TLS files by the URI alone: -EINVAL with a sentence that does not name the URI, when
 * it asks for TLS and does not say what the server has to prove itself with. */
NODISCARD int nbd_uri_check_tls(const struct nbd_uri *uri, struct error *err);

#endif
