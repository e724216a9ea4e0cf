/* Built without libmicrohttpd. */
#include <errno.h>

#include "server/metrics/http.h"

bool http_is_there(void)
{
    return false;
}

bool http_has_tls(void)
{
    return false;
}

int http_start(struct http **out, const struct http_settings *settings, struct error *err)
{
    (void)settings;
    *out = NULL;
    return error_set(err, -ENOTSUP, "this program was built without libmicrohttpd");
}

bool http_stop(struct http *http)
{
    (void)http;
    return true;
}
