/* Names that go into certificates, checked before anything is made of them. */
#ifndef NBDCRYPT_PKI_NAME_H
#define NBDCRYPT_PKI_NAME_H

#include "server/base/error.h"

/* The most that the common name of a certificate can have: X.520, ub-common-name. */
#define PKI_NAME_BYTES_MAX 64u

/* Of a client: its common name, and a folder's name.  -EINVAL. */
NODISCARD int pki_name_check(const char *name, struct error *err);

/* Of a server: an IP address or a DNS name as clients write it; "*." may stand in front of a name
 * of two parts or more (RFC 6125, 6.4.3).  -EINVAL. */
NODISCARD int pki_host_check(const char *host, struct error *err);
/* A DNS name only. */
NODISCARD int pki_dns_check(const char *name, struct error *err);

/* RFC 3986: a scheme, and behind its colon printable ASCII.  -EINVAL. */
NODISCARD int pki_uri_check(const char *uri, struct error *err);

#endif
