/* A certification authority of one's own: keys, certificates and the list of revoked ones, as PEM
 * in memory.  By GnuTLS; RFC 5280.
 *
 * Keys are ECDSA on P-256.  Certificates begin a day before they are made, for clocks that are
 * behind. */
#ifndef NBDCRYPT_PKI_H
#define NBDCRYPT_PKI_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "crypto/secret.h"

#define PKI_DAYS_MAX 36500u
#define PKI_SERIAL_BYTES 16u

/* A certificate and its key, both PEM; owned. */
struct pki_pair {
    struct secret *certificate;
    struct secret *key;                    /* PKCS #8, not encrypted */
    char serial[2 * PKI_SERIAL_BYTES + 1]; /* in hexadecimal */
};

/* What a certificate is to say. */
struct pki_request {
    const char *common_name;  /* UTF-8, at most 64 bytes */
    bool server;              /* for servers; else for clients */
    const char *const *hosts; /* alternative names: IP addresses and DNS names, checked */
    size_t host_count;
    const char *const *uris;
    size_t uri_count;
    time_t end; /* the authority's end, if that is earlier */
};

struct pki_authority;

/* A new one, with a random name and key.  -EIO. */
NODISCARD int pki_authority_create(struct pki_authority **out, unsigned days, struct error *err);
/* -EINVAL: no certificate of an authority, no key, or a key of something else. */
NODISCARD int pki_authority_load(struct pki_authority **out, const struct secret *certificate,
                                 const struct secret *key, struct error *err);
/* NULL is fine. */
void pki_authority_free(struct pki_authority *authority);
/* When its certificate expires. */
time_t pki_authority_end(const struct pki_authority *authority);
/* *out is freed by pki_pair_free() in every case. */
NODISCARD int pki_authority_export(struct pki_pair *out, const struct pki_authority *authority,
                                   struct error *err);

/* A new key and a certificate of it; *out is freed by pki_pair_free() in every case. */
NODISCARD int pki_certify(struct pki_pair *out, const struct pki_authority *authority,
                          const struct pki_request *request, struct error *err);
void pki_pair_free(struct pki_pair *pair);

/* The common name of a certificate for clients in `text`; "" when it has none or is for something
 * else.  -EINVAL: no certificate. */
NODISCARD int pki_client_name(char *text, size_t text_bytes, const struct secret *certificate,
                              struct error *err);

/* The alternative names that are DNS names or IP addresses: calls `add` with each as text, until
 * it returns something else than 0, which is then returned. */
NODISCARD int pki_each_host(const struct secret *certificate,
                            int (*add)(void *context, const char *host, struct error *err),
                            void *context, struct error *err);

/* A new list of revoked certificates: those of the list `old` (NULL: none), and `certificates`.
 * It is valid as long as the authority's certificate.  *added: how many were not in `old`. */
NODISCARD int pki_revoke(struct secret **out, const struct pki_authority *authority,
                         const struct secret *old, const struct secret *const *certificates,
                         size_t count, size_t *added, struct error *err);

#endif
