#include "server/serve/listen-address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SUN_PATH_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

int listen_address_parse_unix(struct listen_address *out, const char *path, struct error *err)
{
    size_t length = strlen(path);

    if (length == 0)
        return error_set(err, -EINVAL, "--unix: the path is empty");
    if (length >= SUN_PATH_BYTES)
        return error_set(err, -EINVAL,
                         "--unix %s: the path has %zu bytes, and the system allows %zu: use a "
                         "shorter one",
                         path, length, SUN_PATH_BYTES - 1);
    out->text = path;
    out->address.local.sun_family = AF_UNIX;
    memcpy(out->address.local.sun_path, path, length + 1);
    out->address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    return 0;
}

/* inet_pton() and not getaddrinfo() here: the latter takes "1" for 0.0.0.1. */
static bool parse_v4(struct listen_address *out, const char *host, unsigned port)
{
    if (inet_pton(AF_INET, host, &out->address.v4.sin_addr) != 1)
        return false;
    out->address.v4.sin_family = AF_INET;
    out->address.v4.sin_port = htons((uint16_t)port);
    out->address_bytes = sizeof out->address.v4;
    return true;
}

/* getaddrinfo() for the scope of fe80::1%eth0. */
static bool parse_v6(struct listen_address *out, const char *host, unsigned port)
{
    const struct addrinfo hints = { .ai_family = AF_INET6,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_NUMERICHOST };
    struct addrinfo *found;

    if (getaddrinfo(host, NULL, &hints, &found) != 0)
        return false;
    memcpy(&out->address.v6, found->ai_addr, sizeof out->address.v6);
    freeaddrinfo(found);
    out->address.v6.sin6_port = htons((uint16_t)port);
    out->address_bytes = sizeof out->address.v6;
    return true;
}

static bool parse_port(unsigned *out, const char *text)
{
    size_t length = strlen(text);
    unsigned port = 0;

    if (length == 0 || length > 5 || strspn(text, "0123456789") != length)
        return false;
    for (; *text; text++)
        port = port * 10 + (unsigned)(*text - '0');
    *out = port;
    return port <= UINT16_MAX;
}

static int bad_address(const char *text, const char *why, struct error *err)
{
    return error_set(err, -EINVAL, "--listen %s: %s; write it as 127.0.0.1:10809 or [::1]:10809",
                     text, why);
}

int listen_address_parse_tcp(struct listen_address *out, const char *text, struct error *err)
{
    const char *colon = strrchr(text, ':');
    char host[80]; /* an IPv6 address with a scope has at most 39 + 1 + 15 */
    size_t length = colon != NULL ? (size_t)(colon - text) : 0;
    bool brackets = length >= 2 && text[0] == '[' && text[length - 1] == ']', ok;
    unsigned port;

    if (colon == NULL || (text[0] == '[' && !brackets))
        return bad_address(text, "there is no port", err);
    if (!brackets && memchr(text, ':', length))
        return bad_address(text, "an IPv6 address needs brackets", err);
    if (!parse_port(&port, colon + 1))
        return bad_address(text, "the port is not a number from 0 to 65535", err);
    if (brackets)
        length -= 2;
    if (length >= sizeof host)
        return bad_address(text, "this is not a numeric address", err);
    memcpy(host, text + brackets, length);
    host[length] = '\0';
    if (!brackets && strcmp(host, "localhost") == 0)
        memcpy(host, "127.0.0.1", sizeof "127.0.0.1");
    ok = brackets ? parse_v6(out, host, port) : parse_v4(out, host, port);
    if (!ok)
        return bad_address(text, "this is not a numeric address", err);
    out->text = text;
    return 0;
}

int unix_permissions_parse_mode(struct unix_permissions *out, const char *option, const char *text,
                                struct error *err)
{
    size_t length = strlen(text);
    mode_t mode = 0;

    if (length < 3 || length > 4 || strspn(text, "01234567") != length ||
        (length == 4 && *text != '0'))
        return error_set(err, -EINVAL,
                         "--%s %s: it is a mode of files in octal digits, such as 0660", option,
                         text);
    for (; *text != '\0'; text++)
        mode = mode * 8 + (mode_t)(*text - '0');
    out->mode = mode;
    out->has_mode = true;
    return 0;
}

int unix_permissions_parse_group(struct unix_permissions *out, const char *option, const char *text,
                                 struct error *err)
{
    size_t length = strlen(text);
    const struct group *group = getgrnam(text);
    unsigned long number = strtoul(text, NULL, 10);

    if (group == NULL && (length == 0 || length > 9 || strspn(text, "0123456789") != length))
        return error_set(err, -EINVAL, "--%s %s: this machine has no such group", option, text);
    out->group = group != NULL ? group->gr_gid : (gid_t)number;
    out->has_group = true;
    return 0;
}

static bool same_address(const struct listen_address *a, const struct listen_address *b)
{
    return a->address_bytes == b->address_bytes &&
           !memcmp(&a->address, &b->address, a->address_bytes);
}

/* Port 0 means another one each time. */
static bool takes_free_port(const struct listen_address *address)
{
    return (address->address.any.sa_family == AF_INET && address->address.v4.sin_port == 0) ||
           (address->address.any.sa_family == AF_INET6 && address->address.v6.sin6_port == 0);
}

bool listen_address_is_taken(const struct listen_address *a, const struct listen_address *b)
{
    return !takes_free_port(a) && same_address(a, b);
}
