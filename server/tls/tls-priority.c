#include "server/tls/tls-priority.h"

#include "crypto/cpu-features.h"

/* TLS 1.3 and 1.2 with authenticated encryption and forward secrecy.  The order is ours and not
 * the client's: GnuTLS's clients list AES-256-GCM and ChaCha20 before AES-128-GCM, and the hash of
 * a pre-shared key (SHA-256) rules AES-256-GCM out, so theirs would end on ChaCha20, at a
 * fourteenth of the speed.  X25519 is what OpenSSL's and GnuTLS's clients both send a key share
 * for; with another group first, OpenSSL's would need one more round trip.  The profile refuses
 * certificates below 112 bits (RSA 2048). */
#define PRIORITY(ciphers, exchanges, groups)                                                \
    "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-CIPHER-ALL:" ciphers ":-MAC-ALL:+AEAD:" \
    "-KX-ALL:" exchanges ":-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1:"                                \
    "-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1" groups    \
    ":%SERVER_PRECEDENCE:%PROFILE_MEDIUM"
#define CIPHERS_AES "+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305"
#define CIPHERS_NO_AES "+CHACHA20-POLY1305:+AES-128-GCM:+AES-256-GCM"

#define BOTH(exchanges, groups)                                                               \
    {                                                                                         \
        PRIORITY(CIPHERS_NO_AES, exchanges, groups), PRIORITY(CIPHERS_AES, exchanges, groups) \
    }

const char *tls_priority(enum tls_priority_use use)
{
    static const char *const texts[][2] = {
        [TLS_PRIORITY_SERVER] = BOTH("+ECDHE-ECDSA:+ECDHE-RSA:+ECDHE-PSK", ""),
        [TLS_PRIORITY_CLIENT_CERTIFICATES] = BOTH("+ECDHE-ECDSA:+ECDHE-RSA", ""),
        /* Servers that have nothing better do without forward secrecy: the last choice. */
        [TLS_PRIORITY_CLIENT_PSK] =
            BOTH("+ECDHE-PSK:+DHE-PSK:+PSK", ":+GROUP-FFDHE2048:+GROUP-FFDHE3072:+GROUP-FFDHE4096"),
    };

    return texts[use][cpu_has_aes()];
}
