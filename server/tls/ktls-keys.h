/* The keys of a kernel TLS socket.  Source: Linux, Documentation/networking/tls.rst. */
#ifndef NBDCRYPT_KTLS_KEYS_H
#define NBDCRYPT_KTLS_KEYS_H

#include "server/tls/ktls-ability.h"
#include "server/tls/tls-record-keys.h"

/* By trying it with a connection to this process itself; without a loopback interface:
 * KTLS_ABSENT. */
enum ktls_ability ktls_keys_ability(void);

/* Attaches TLS to the socket, which stays what it was as long as it has no keys.  -errno. */
NODISCARD int ktls_keys_attach(int fd);
/* Gives the kernel the keys that GnuTLS has now; `option` is TLS_TX or TLS_RX.  Negative: this
 * kernel or socket can't have them, or it is not AES-GCM; nothing has changed then. */
NODISCARD int ktls_keys_give(int fd, gnutls_session_t gnutls, int option);
/* Goes on to the next generation of `keys`, here and in the kernel.  Negative: it can't. */
NODISCARD int ktls_keys_change(int fd, struct tls_record_keys *keys, int option);

#endif
