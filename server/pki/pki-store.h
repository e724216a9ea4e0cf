/* The folder in which a certification authority keeps what it makes:
 *
 *     ca-key.pem        the key of the authority: goes nowhere
 *     ca-cert.pem       its certificate
 *     ca-crl.pem        which certificates are revoked
 *     issued/           each certificate that was made, by its serial number
 *     server/           for the server: ca-cert, ca-crl, server-cert, server-key (.pem)
 *     clients/NAME/     for a client: ca-cert, client-cert, client-key (.pem)
 *
 * The two last ones hold what QEMU, libnbd and nbdkit expect.  Keys are for their owner only.
 * What fails changes nothing.  Two processes may work on one folder. */
#ifndef NBDCRYPT_PKI_STORE_H
#define NBDCRYPT_PKI_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "server/base/error.h"

#define PKI_STORE_FILE_BYTES_MAX (1024u * 1024u)

/* A certificate to make; names have been checked (server/pki/pki-name.h). */
struct pki_store_request {
    const char *name;         /* of a client */
    const char *const *hosts; /* for a client: DNS names only */
    size_t host_count;
    const char *const *uris;
    size_t uri_count;
    unsigned days; /* 0: what is usual, or less when the authority ends before */
    bool force;    /* replace what is there */
};

/* What is usual. */
#define PKI_STORE_DAYS 365u
#define PKI_STORE_CA_DAYS 3650u

/* A new authority for `ca_days`, a certificate for the server, and one for a client.  -EEXIST when
 * `path` is there and not empty, unless server->force is set and it holds nothing but what this
 * function and the following ones make. */
NODISCARD int pki_store_create(const char *path, unsigned ca_days,
                               const struct pki_store_request *server,
                               const struct pki_store_request *client, struct error *err);

/* One more client.  -EEXIST when it is there, unless request->force is set. */
NODISCARD int pki_store_add_client(const char *path, const struct pki_store_request *request,
                                   struct error *err);

/* A new key and certificate for the server.  With no hosts, for those of the present one. */
NODISCARD int pki_store_renew_server(const char *path, const struct pki_store_request *request,
                                     struct error *err);

/* Revokes all certificates that have this name.  *revoked: how many were not revoked before.
 * -ENOENT: there is none.  *in_server: whether the copy in server/ was renewed too. */
NODISCARD int pki_store_revoke(const char *path, const char *name, size_t *revoked, bool *in_server,
                               struct error *err);

#endif
