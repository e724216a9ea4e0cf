/* Who asks by HTTP: whom TLS has proven him to be, and whether he may. */
#ifndef NBDCRYPT_HTTP_GUEST_H
#define NBDCRYPT_HTTP_GUEST_H

#include "server/access/access.h"
#include "server/tls/tls.h"

struct http_guest;

/* What a library is to make sessions with that are handed over here, so that it reads no
 * certificate itself: GNUTLS_CRD_PSK. */
#define HTTP_GUEST_CREDENTIALS 4

/* One who has connected.  `gnutls` is the session (gnutls_session_t) of his connection, whose
 * handshake has not begun and is led by somebody else: it asks for a certificate, with what `tls`
 * has in force, and for no more bytes than a handshake takes; NULL: there is no TLS.  NULL: he
 * can't be let in, for want of memory or of credentials, which is in the log. */
struct http_guest *http_guest_create(int fd, void *gnutls, struct tls *tls);
/* He has asked, so that the handshake is over. */
bool http_guest_may(struct http_guest *guest, const struct access *access);
/* When his connection is over; that his handshake failed is told. */
void http_guest_free(struct http_guest *guest);

#endif
