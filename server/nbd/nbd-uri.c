#include "server/nbd/nbd-uri.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "server/nbd/nbd-wire.h"
#include "server/base/params.h"

#define PORT_TEXT_DEFAULT "10809"

struct uri_query {
    const char *socket, *tls_certificates, *tls_psk_file;
};

#define FIELD(name) offsetof(struct uri_query, name)

static const struct param query_params[] = {
    PARAM("socket", STRING, "PATH", socket, "the Unix socket"),
    PARAM("tls-certificates", STRING, "DIR", tls_certificates, "what the server is measured by"),
    PARAM("tls-psk-file", STRING, "FILE", tls_psk_file, "the shared secret of the user"),
    { 0 },
};

static int hex_value(char c)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF", *at = c ? strchr(digits, c) : NULL;

    return at != NULL ? (int)((at - digits) % 16) : -1;
}

/* RFC 3986, section 2.1, in place. */
static int decode_percent(char *text, struct error *err)
{
    char *out = text;

    for (const char *in = text; *in != '\0'; in++) {
        if (*in != '%') {
            *out++ = *in;
            continue;
        }
        int high = hex_value(in[1]), low = high < 0 ? -1 : hex_value(in[2]);
        if (low < 0 || high * 16 + low == 0)
            return error_set(err, -EINVAL,
                             "'%.3s' stands for no character: write a '%%' itself "
                             "as %%25",
                             in);
        *out++ = (char)(high * 16 + low);
        in += 2;
    }
    *out = '\0';
    return 0;
}

/* Takes USER@ off; what is behind it. */
static char *parse_user(struct nbd_uri *uri, char *authority, struct error *err)
{
    char *at = strchr(authority, '@');

    if (at == NULL)
        return authority;
    *at = '\0';
    if (!uri->tls) {
        error_set(err, -EINVAL, "a user name has no meaning without TLS");
        return NULL;
    }
    uri->user = authority;
    return decode_percent(authority, err) == 0 ? at + 1 : NULL;
}

/* RFC 6874: [fe80::1%25eth0]; a bare %, as people write it, stands for itself. */
static int decode_scope(struct nbd_uri *uri, char *address, struct error *err)
{
    char *scope = strchr(address, '%');

    if (scope == NULL)
        return 0;
    uri->host_alone = strndup(address, (size_t)(scope - address));
    if (uri->host_alone == NULL)
        return error_no_memory(err, NULL);
    if (strncmp(scope, "%25", 3) != 0 || scope[3] == '\0')
        return 0;
    memmove(scope + 1, scope + 3, strlen(scope + 3) + 1);
    return decode_percent(scope + 1, err);
}

/* HOST, HOST:PORT or [ADDRESS]:PORT. */
static int parse_host(struct nbd_uri *uri, char *authority, struct error *err)
{
    char *colon = authority;

    uri->host = authority;
    if (*authority == '[') {
        char *end = strchr(authority, ']');

        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return error_set(err, -EINVAL, "an address in brackets is written [ADDRESS]:PORT");
        uri->host = authority + 1;
        *end = '\0';
        colon = end + 1;
        int result = decode_scope(uri, authority + 1, err);
        if (result < 0)
            return result;
    }
    colon = strchr(colon, ':');
    uri->port = PORT_TEXT_DEFAULT;
    if (colon != NULL) {
        *colon = '\0';
        uri->port = colon + 1;
    }
    if (*uri->host == '\0')
        uri->host = "localhost";
    if (*uri->port == '\0' || strspn(uri->port, "0123456789") != strlen(uri->port))
        return error_set(err, -EINVAL, "'%s' is no port number", uri->port);
    return 0;
}

static int parse_query(struct nbd_uri *uri, char *query, struct error *err)
{
    struct uri_query values = { .socket = NULL };
    int result = query != NULL ? params_parse_pairs(&values, query_params, query, '&', err) : 0;

    if (result != 0)
        return result;
    uri->socket_path = values.socket;
    uri->tls_certificates = values.tls_certificates;
    uri->tls_psk_file = values.tls_psk_file;
    if (!uri->tls && (uri->tls_certificates != NULL || uri->tls_psk_file != NULL))
        return error_set(err, -EINVAL,
                         "files for TLS are named, but there is none: write nbds:// or "
                         "nbds+unix://");
    return 0;
}

static int check_socket(const struct nbd_uri *uri, bool is_unix, struct error *err)
{
    if (!is_unix)
        return uri->socket_path == NULL
                   ? 0
                   : error_set(err, -EINVAL, "a socket is given with nbd+unix:///?socket=PATH");
    if (uri->socket_path == NULL || *uri->socket_path == '\0')
        return error_set(err, -EINVAL, "the socket is missing: nbd+unix:///?socket=PATH");
    if (strlen(uri->socket_path) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return error_set(err, -EINVAL, "the path of a Unix socket has at most %zu bytes",
                         sizeof((struct sockaddr_un *)0)->sun_path - 1);
    return 0;
}

/* What stands behind "nbd://" or "nbd+unix://", without the query. */
static int parse_rest(struct nbd_uri *uri, char *rest, bool is_unix, struct error *err)
{
    char *slash = strchr(rest, '/');

    uri->export_name = "";
    if (slash != NULL) {
        *slash = '\0';
        uri->export_name = slash + 1;
        if (decode_percent(slash + 1, err) != 0)
            return -EINVAL;
    }
    if (strlen(uri->export_name) > NBD_STRING_BYTES_MAX)
        return error_set(err, -EINVAL, "the name of an export has at most %u bytes",
                         NBD_STRING_BYTES_MAX);
    char *host = parse_user(uri, rest, err);
    if (host == NULL)
        return -EINVAL;
    if (is_unix)
        return *host == '\0' ? 0
                             : error_set(err, -EINVAL,
                                         "with nbd+unix there is no host: "
                                         "write nbd+unix:///NAME?socket=PATH");
    return parse_host(uri, host, err);
}

static int parse(struct nbd_uri *uri, struct error *err)
{
    static const struct {
        const char *text;
        bool tls, is_unix;
    } schemes[] = {
        { "nbd://", false, false },
        { "nbd+unix://", false, true },
        { "nbds://", true, false },
        { "nbds+unix://", true, true },
    };
    size_t i = 0;

    while (i < sizeof schemes / sizeof schemes[0] &&
           strncmp(uri->text, schemes[i].text, strlen(schemes[i].text)) != 0)
        i++;
    if (i == sizeof schemes / sizeof schemes[0])
        return error_set(err, -EINVAL,
                         "an NBD URI is nbd://HOST[:PORT][/NAME] or "
                         "nbd+unix:///[NAME]?socket=PATH");
    uri->tls = schemes[i].tls;
    char *rest = uri->text + strlen(schemes[i].text), *query = strchr(rest, '?');
    if (query != NULL)
        *query++ = '\0';
    int result = parse_query(uri, query, err);
    if (result == 0)
        result = check_socket(uri, schemes[i].is_unix, err);
    return result == 0 ? parse_rest(uri, rest, schemes[i].is_unix, err) : result;
}

int nbd_uri_parse(struct nbd_uri *out, const char *text, struct error *err)
{
    *out = (struct nbd_uri){ .text = strdup(text) };
    if (out->text == NULL)
        return error_no_memory(err, NULL);
    int result = parse(out, err);
    if (result != 0)
        nbd_uri_free(out);
    return result;
}

void nbd_uri_free(struct nbd_uri *uri)
{
    free(uri->host_alone);
    free(uri->text);
    *uri = (struct nbd_uri){ .text = NULL };
}

int nbd_uri_check_tls(const struct nbd_uri *uri, struct error *err)
{
    if (!uri->tls)
        return 0;
    if ((uri->tls_certificates != NULL) == (uri->tls_psk_file != NULL))
        return error_set(err, -EINVAL,
                         "give either tls-certificates=DIR or tls-psk-file=FILE behind the '?': "
                         "what the server has to prove itself with");
    if (uri->tls_certificates != NULL && uri->host == NULL)
        return error_set(err, -EINVAL,
                         "a server on a Unix socket has no host name that its certificate could "
                         "be compared with; use tls-psk-file=FILE");
    return 0;
}
