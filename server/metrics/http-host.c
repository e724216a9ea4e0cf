#include "server/metrics/http-host.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define NAME_BYTES_MAX 253u /* RFC 1035 */

static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");

    return digits >= 1 && digits <= 5 && text[digits] == '\0';
}

/* "[::1]:9811" */
static bool is_v6(const char *host)
{
    const char *end = strchr(host, ']');
    char address[INET6_ADDRSTRLEN];
    struct in6_addr parsed;

    if (host[0] != '[' || end == NULL || (size_t)(end - host) > sizeof address)
        return false;
    size_t length = (size_t)(end - host) - 1;
    memcpy(address, host + 1, length);
    address[length] = '\0';
    return inet_pton(AF_INET6, address, &parsed) == 1 &&
           (end[1] == '\0' || (end[1] == ':' && is_port(end + 2)));
}

bool http_host_is_ours(const char *host, const char *const *names, size_t count)
{
    char name[NAME_BYTES_MAX + 1];
    struct in_addr parsed;

    if (host == NULL || is_v6(host))
        return host != NULL;
    size_t length = strcspn(host, ":");
    if (length == 0 || length >= sizeof name ||
        (host[length] == ':' && !is_port(host + length + 1)))
        return false;
    memcpy(name, host, length);
    name[length] = '\0';
    if (strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, &parsed) == 1)
        return true;
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

bool http_host_is_name(const char *name)
{
    size_t length = strlen(name);

    return length > 0 && length <= NAME_BYTES_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") ==
               length;
}
