/* Who is at the other end of a connection, as far as it has been proven. */
#ifndef NBDCRYPT_PEER_H
#define NBDCRYPT_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#define PEER_TLS_BYTES 64u
#define PEER_TEXT_BYTES 224u /* an address and as much as is needed of an identity */

/* What TLS has proven. */
enum peer_proof {
    PEER_UNPROVEN,    /* no TLS, or a TLS client without certificate */
    PEER_CERTIFICATE, /* a certificate that verified against our CA */
    PEER_PSK,
};

/* What tells later whether a certificate is still good. */
#define PEER_SERIAL_BYTES 20u /* RFC 5280, 4.1.2.2 */
struct peer_certificate {
    int64_t expires_s; /* of it, or of one above it that came along: seconds since 1970; 0: never */
    uint64_t issuer;   /* tls_revocation_issuer() */
    uint8_t serial[PEER_SERIAL_BYTES], serial_bytes;
};

struct peer {
    char text[PEER_TEXT_BYTES]; /* for messages: see peer_describe() */

    /* Of the socket. */
    struct sockaddr_storage address; /* ss_family is AF_UNSPEC when it is not known */
    pid_t pid;                       /* AF_UNIX only, as are the next two */
    uid_t uid;
    gid_t gid;

    /* Of TLS.  Strings are owned, NUL-terminated and free of control characters. */
    bool encrypted;           /* the connection is under TLS */
    char tls[PEER_TLS_BYTES]; /* "TLS1.3, AES-256-GCM, X25519"; "": it is not */
    enum peer_proof proof;
    char *identity;   /* PEER_PSK: the identity; PEER_CERTIFICATE: the subject's distinguished name
                       * (RFC 4514); else NULL */
    char **dns_names; /* PEER_CERTIFICATE: subject alternative names, each NULL-terminated */
    char **uris;
    struct peer_certificate certificate; /* PEER_CERTIFICATE */
};

/* Fills what the socket tells; the rest is as of a client without TLS. */
void peer_of_socket(struct peer *out, int fd);
/* Makes `text` anew from what is known; to be called when TLS has proven who it is:
 * "client 127.0.0.1:40312", "client pid 71 uid 0", "client 127.0.0.1:40312 (CN=vm7)",
 * "client [::1]:40312 (psk:vm7)". */
void peer_describe(struct peer *peer);
/* Who it is for what each client has for itself: what TLS has proven, else the user of this
 * machine, else the address (an IPv6 network of 64 bits).  The caller frees it; NULL: no memory. */
char *peer_identity(const struct peer *peer);
/* Frees and forgets what TLS had proven. */
void peer_forget_tls(struct peer *peer);

#endif
