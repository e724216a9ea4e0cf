#include "bench/nbd-uri.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/nbd-wire.h"
#include "server/params.h"

#define PORT_TEXT_DEFAULT "10809"

/* ---- parsing ---- */

struct uri_query {
    const char *socket;
};

static const struct param query_params[] = {
    { "socket", 0, PARAM_STRING, "PATH", "the Unix socket", offsetof(struct uri_query, socket), 0,
      0 },
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
            return error_set(err, -EINVAL, "'%.3s' stands for no character: write a '%%' itself "
                             "as %%25", in);
        *out++ = (char)(high * 16 + low);
        in += 2;
    }
    *out = '\0';
    return 0;
}

/* HOST, HOST:PORT or [ADDRESS]:PORT. */
static int parse_authority(struct nbd_uri *uri, char *authority, struct error *err)
{
    char *colon = authority;

    if (strchr(authority, '@') != NULL)
        return error_set(err, -EINVAL, "a user name has no meaning without TLS, which this "
                         "program does not speak");
    uri->host = authority;
    if (*authority == '[') {
        char *end = strchr(authority, ']');

        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return error_set(err, -EINVAL, "an address in brackets is written [ADDRESS]:PORT");
        uri->host = authority + 1;
        *end = '\0';
        colon = end + 1;
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
    int code = query != NULL ? params_parse_pairs(&values, query_params, query, '&', err) : 0;

    if (code != 0)
        return code;
    uri->socket_path = values.socket;
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
    if (is_unix)
        return *rest == '\0' ? 0 : error_set(err, -EINVAL, "with nbd+unix there is no host: "
                                             "write nbd+unix:///NAME?socket=PATH");
    return parse_authority(uri, rest, err);
}

static int parse(struct nbd_uri *uri, struct error *err)
{
    static const char tcp[] = "nbd://", local[] = "nbd+unix://";
    bool is_unix = strncmp(uri->text, local, strlen(local)) == 0;
    char *rest = uri->text + strlen(is_unix ? local : tcp), *query;

    if (strncmp(uri->text, "nbds", 4) == 0)
        return error_set(err, -EINVAL, "this program does not speak TLS: take an export without "
                         "it (nbd:// or nbd+unix://)");
    if (!is_unix && strncmp(uri->text, tcp, strlen(tcp)) != 0)
        return error_set(err, -EINVAL, "an NBD URI is nbd://HOST[:PORT][/NAME] or "
                         "nbd+unix:///[NAME]?socket=PATH");
    query = strchr(rest, '?');
    if (query != NULL)
        *query++ = '\0';
    int code = parse_query(uri, query, err);
    if (code == 0)
        code = check_socket(uri, is_unix, err);
    return code == 0 ? parse_rest(uri, rest, is_unix, err) : code;
}

int nbd_uri_parse(struct nbd_uri *out, const char *text, struct error *err)
{
    *out = (struct nbd_uri){ .text = strdup(text) };
    if (out->text == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    int code = parse(out, err);
    if (code != 0) {
        error_prefix(err, "'%.200s': ", text);
        nbd_uri_free(out);
    }
    return code;
}

void nbd_uri_free(struct nbd_uri *uri)
{
    free(uri->text);
    *uri = (struct nbd_uri){ .text = NULL };
}

/* ---- connecting ---- */

/* The limits hold for connect() too: a server whose queue is full is waited for no longer. */
static int make_socket(int family, unsigned timeout_s)
{
    struct timeval limit = { .tv_sec = timeout_s };
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0) {
        int code = -errno;

        close(fd);
        return code;
    }
    return fd;
}

/* A connected socket, or -errno. */
static int connect_one(int family, const struct sockaddr *address, socklen_t address_bytes,
                       unsigned timeout_s)
{
    int fd = make_socket(family, timeout_s);

    if (fd >= 0 && connect(fd, address, address_bytes) != 0) {
        int code = errno == EAGAIN || errno == EINPROGRESS ? -ETIMEDOUT : -errno;

        close(fd);
        return code;
    }
    return fd;
}

static int connect_unix(const struct nbd_uri *uri, unsigned timeout_s, struct error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", uri->socket_path);
    int fd = connect_one(AF_UNIX, (struct sockaddr *)&address, sizeof address, timeout_s);
    if (fd < 0)
        return error_set(err, fd, "%s: can't connect: %s; is the server running?",
                         uri->socket_path, strerror(-fd));
    return fd;
}

static int connect_tcp(const struct nbd_uri *uri, unsigned timeout_s, struct error *err)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
    int code = getaddrinfo(uri->host, uri->port, &hints, &found), fd = -EADDRNOTAVAIL;

    if (code != 0)
        return error_set(err, -EHOSTUNREACH, "%s: the address was not found: %s", uri->host,
                         code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code));
    for (const struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next)
        fd = connect_one(at->ai_family, at->ai_addr, at->ai_addrlen, timeout_s);
    freeaddrinfo(found);
    if (fd < 0)
        return error_set(err, fd, "%s port %s: can't connect: %s; is the server running?",
                         uri->host, uri->port, strerror(-fd));
    /* Requests leave when they are made, not when the last ones were acknowledged. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    return fd;
}

int nbd_uri_connect(const struct nbd_uri *uri, unsigned timeout_s, struct error *err)
{
    return uri->socket_path != NULL ? connect_unix(uri, timeout_s, err)
                                    : connect_tcp(uri, timeout_s, err);
}
