#include "server/metrics/status-page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/crypto.h>

/* Made of status.html by Makemodule.am: bytes, each with a comma. */
static const unsigned char page[] = {
#include "server/metrics/status.html.inc"
    0,
};

const char *status_page(size_t *length_bytes)
{
    *length_bytes = sizeof page - 1;
    return (const char *)page;
}

/* "sha256-..." of what is between two tags; false: it is not there. */
static bool hash_between(char out[64], const char *start, const char *end)
{
    const char *from = strstr((const char *)page, start);
    const char *to = from != NULL ? strstr(from, end) : NULL;
    gnutls_datum_t digest, text = { 0 };
    unsigned char hash[32];

    if (to == NULL)
        return false;
    from += strlen(start);
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, from, (size_t)(to - from), hash) < 0)
        return false;
    digest = (gnutls_datum_t){ hash, sizeof hash };
    if (gnutls_base64_encode2(&digest, &text) < 0)
        return false;
    snprintf(out, 64, "sha256-%.*s", (int)text.size, (const char *)text.data);
    gnutls_free(text.data);
    return true;
}

char *status_page_policy(void)
{
    char style[64], script[64], *policy = NULL;

    if (!hash_between(style, "<style>", "</style>") ||
        !hash_between(script, "<script>", "</script>"))
        return NULL;
    if (asprintf(&policy,
                 "default-src 'none'; style-src '%s'; script-src '%s'; connect-src 'self'; "
                 "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                 style, script) < 0)
        return NULL;
    return policy;
}
