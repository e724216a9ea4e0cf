/* Whether a client that was let in would be let in now. */
#ifndef NBDCRYPT_TLS_STANDING_H
#define NBDCRYPT_TLS_STANDING_H

#include <stdint.h>

#include "server/access/peer.h"

struct tls_credentials;

/* Seconds since 1970, when its certificate is over; INT64_MAX: never, or it has none. */
int64_t tls_standing_end_s(const struct peer *peer);

/* Why it would not, by credentials that were read after it came: "its certificate was revoked";
 * NULL: it would. */
const char *tls_standing_lost(const struct tls_credentials *now, const struct peer *peer);

#endif
