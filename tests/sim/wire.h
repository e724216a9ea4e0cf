/* A client's end of a connection: in the clear, or under TLS by GnuTLS with a pre-shared key or a
 * certificate.  On fibers; one may send while another one receives. */
#ifndef NBDCRYPT_SIM_WIRE_H
#define NBDCRYPT_SIM_WIRE_H

#include <stdbool.h>
#include <stddef.h>

struct endpoint;

struct wire {
    struct endpoint *endpoint;
    void *tls;    /* gnutls_session_t; NULL: in the clear */
    bool starved; /* what GnuTLS asked for last has not arrived yet */
    bool full;    /* what it sent last had no room */
};

/* Before the first fork: a file with the key, and its name. */
void wire_make_key(void);
const char *wire_key_path(void);

/* All of it; false: the connection is broken or has ended. */
bool wire_send_all(struct wire *wire, const void *data, size_t length_bytes);
bool wire_receive_all(struct wire *wire, void *out, size_t length_bytes);
/* The handshake, as the options say; false as above.  `second`: with the certificate of the second
 * client, of pki.h. */
bool wire_start_tls(struct wire *wire, bool second);
/* After it: which certificate the server has shown. */
unsigned wire_server_certificate(const struct wire *wire);
/* Asks the other end to change its keys, and changes ours; nothing is being sent. */
bool wire_update_keys(struct wire *wire);
/* Nobody uses it any more. */
void wire_free(struct wire *wire);

#endif
