/* The Host of a request: the name by which somebody calls this server. */
#ifndef NBDCRYPT_HTTP_HOST_H
#define NBDCRYPT_HTTP_HOST_H

#include <stdbool.h>
#include <stddef.h>

/* An address, localhost, or one of these names, with a port or without: a name that somebody else
 * has in the DNS, and lets point to this machine, is none of them.  NULL, which no browser sends,
 * is not. */
bool http_host_is_ours(const char *host, const char *const *names, size_t count);
/* May this be one of the names?  It has no port. */
bool http_host_is_name(const char *name);

#endif
