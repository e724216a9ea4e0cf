/* What `nbdcrypt tls` tells when it has made something: which folder goes where, and the commands
 * that use it.  On standard output. */
#ifndef NBDCRYPT_TLS_ADVICE_H
#define NBDCRYPT_TLS_ADVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "server/base/params.h"

/* `path` is that of the authority's folder, in all of these. */
void tls_advice_init(const char *path, const char *client, const struct param_list *hosts);
void tls_advice_client(const char *path, const char *client);
void tls_advice_server(const char *path);
/* `revoked`: how many certificates; `in_server`: the list in server/ is a new one. */
void tls_advice_revoke(const char *path, const char *client, size_t revoked, bool in_server);

/* `path` is that of the file with the keys. */
void tls_advice_psk(const char *path, const char *user);
void tls_advice_psk_removed(const char *path, const char *user);

#endif
