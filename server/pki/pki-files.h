/* The certificates, keys, lists of revoked certificates and pre-shared keys that are in a folder,
 * read with GnuTLS and not judged yet. */
#ifndef NBDCRYPT_PKI_FILES_H
#define NBDCRYPT_PKI_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "crypto/secret.h"

enum pki_file_kind {
    PKI_FILE_UNKNOWN,
    PKI_FILE_CERTIFICATES, /* perhaps with a key too */
    PKI_FILE_KEY,
    PKI_FILE_REVOKED,
    PKI_FILE_PSK,
};

struct pki_file {
    char *folder; /* as the user would write it, with '/' at its end; "" for the current one */
    char *name;   /* in it */
    mode_t mode;
    bool shown; /* it was asked for; else it is there to judge others by */
    enum pki_file_kind kind;
    char *problem; /* why it can't be read; NULL: it can */

    gnutls_x509_crt_t *certificates;
    unsigned certificate_count;
    gnutls_x509_privkey_t key; /* NULL: there is none */
    gnutls_x509_crl_t revoked; /* NULL: there is none */
    struct secret *psk;        /* the file; NULL: it is of another kind */
};

struct pki_files {
    struct pki_file *items;
    size_t count;
};

/* Reads the file at `path` and those around it, or a folder and what is in folders below it.
 * `out` is freed by pki_files_free() in every case.  -ENOENT. */
NODISCARD int pki_files_read(struct pki_files *out, const char *path, struct error *err);
void pki_files_free(struct pki_files *files);

#endif
