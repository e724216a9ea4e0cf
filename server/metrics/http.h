/* Metrics and the status page over HTTP: a thread of its own, on sockets that listen.
 *
 * It answers GET and HEAD of /metrics, /status.json, /healthz and /, and nothing else; whatever it
 * is sent changes nothing.  Who is slow, sends much or comes often keeps nobody out
 * (http-places.h); a web page of somebody else's has none of the names that it answers to (DNS
 * rebinding).  When it hangs, nobody else does.
 *
 * By libmicrohttpd, which the program may have been built without. */
#ifndef NBDCRYPT_HTTP_H
#define NBDCRYPT_HTTP_H

#include "server/base/error.h"
#include "server/metrics/metrics-source.h"

#define HTTP_SOCKETS_MAX 2u
#define HTTP_REQUEST_BYTES_MAX 16384u

struct http_settings {
    int fds[HTTP_SOCKETS_MAX]; /* which listen; they stay the caller's */
    size_t fd_count;
    const struct metrics_source *source; /* outlives it, as does: */
    const char *const *hosts;            /* names that the server may be called by */
    size_t host_count;
    const struct access *access; /* who may ask; NULL: everybody */
    struct tls *tls;             /* of those sockets that are HTTPS */
    bool is_tls[HTTP_SOCKETS_MAX];
};

struct http;

/* -ENOTSUP: it was built without that, as http_is_there() tells. */
NODISCARD int http_start(struct http **out, const struct http_settings *settings,
                         struct error *err);
/* False: the thread hangs; what it uses must stay until the process ends by _exit().  NULL is
 * fine. */
NODISCARD bool http_stop(struct http *http);
bool http_is_there(void);
bool http_has_tls(void);

#endif
