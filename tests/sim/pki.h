/* Certificates of the simulated world: a CA, two for the server of which one is in force, two for
 * clients of which one may be revoked, and the files that the server reads them from. */
#ifndef NBDCRYPT_SIM_PKI_H
#define NBDCRYPT_SIM_PKI_H

#include <stdbool.h>

struct gnutls_certificate_credentials_st; /* of GnuTLS, whose header does not go with ours */
struct gnutls_session_int;

#define PKI_ADDRESS "127.0.0.1" /* of the server, as its certificate says */

/* Before the first fork. */
void pki_make(void);

/* What the files say from now on, for pki_write(). */
struct pki_wish {
    unsigned server; /* 0 or 1: which of its certificates */
    bool revoked;    /* the second client's is on the list */
    bool broken;     /* the certificate of the server is cut off: the files can't be used */
};

/* Written, but not yet read by the server: until pki_settle(), either may be in force. */
void pki_write(const struct pki_wish *wish);
/* The server has read them (`taken`), or what was in force before still is, and
 * is written again. */
void pki_settle(bool taken);

/* A server is started, with files that can be used. */
void pki_start(void);

/* What a client has to expect that connects now; to be asked again when it is connected: as long as
 * both are the same, that is in force. */
unsigned pki_writes(void);  /* how often that was done */
unsigned pki_servers(void); /* a bit for each certificate that the server may show */
enum pki_standing { PKI_VALID, PKI_REVOKED, PKI_EITHER };
enum pki_standing pki_second_client(void);

/* The second client was revoked so long ago that nobody serves it any more. */
bool pki_must_be_gone(void);

/* For a session of the first or the second client. */
struct gnutls_certificate_credentials_st *pki_credentials(bool second);
/* Which of its certificates the server has shown. */
unsigned pki_shown(struct gnutls_session_int *session);

#endif
