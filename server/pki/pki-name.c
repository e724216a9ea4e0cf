#include "server/pki/pki-name.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "server/base/utf8.h"

#define DNS_NAME_BYTES_MAX 253u
#define DNS_LABEL_BYTES_MAX 63u
#define URI_BYTES_MAX 2048u
#define SHOWN 80 /* bytes of a bad name in a message */

int pki_name_check(const char *name, struct error *err)
{
    size_t length = strlen(name);
    const char *why = NULL;

    if (length == 0)
        why = "it is empty";
    else if (length > PKI_NAME_BYTES_MAX)
        why = "it has more than 64 bytes";
    else if (!utf8_is_clean(name))
        why = "it has control characters, or is not UTF-8";
    else if (strchr(name, '/'))
        why = "it names a folder, so it can't have a '/'";
    else if (name[0] == '.' || name[0] == '-')
        why = "it names a folder, so it can't begin with '.' or '-'";
    else if (name[0] == ' ' || name[length - 1] == ' ')
        why = "it begins or ends with a blank";
    if (why == NULL)
        return 0;
    return error_set(err, -EINVAL, "'%.*s' can't be the name of a client: %s", SHOWN, name, why);
}

/* ---- hosts ---- */

static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 1123, 2.1. */
static bool is_label(const char *label, size_t length)
{
    if (length == 0 || length > DNS_LABEL_BYTES_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!is_alphanumeric(label[i]) && label[i] != '-')
            return false;
    }
    return label[0] != '-' && label[length - 1] != '-';
}

/* The number of labels; 0: it is no DNS name. The last label is not a number: that would be a
 * broken IP address. */
static unsigned count_labels(const char *name)
{
    unsigned labels = 0;

    for (;;) {
        size_t length = strcspn(name, ".");

        if (!is_label(name, length))
            return 0;
        labels++;
        if (!name[length])
            return strspn(name, "0123456789") == length ? 0 : labels;
        name += length + 1;
    }
}

static bool is_address(const char *host)
{
    uint8_t address[16];

    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static const char *dns_problem(const char *name)
{
    bool wildcard = strncmp(name, "*.", 2) == 0;
    size_t length = strlen(name);
    unsigned labels;

    if (length > DNS_NAME_BYTES_MAX)
        return "it has more than 253 bytes";
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)name[i] >= 0x80)
            return "write it as the DNS has it, in ASCII (xn--...)";
    }
    if (length > 1 && name[length - 1] == '.')
        return "leave out the dot at its end";
    labels = count_labels(wildcard ? name + 2 : name);
    if (labels == 0)
        return strchr(name, '*') ? "a '*' can only stand in front, as in *.example.org"
                                 : "it is neither a DNS name nor an IP address";
    if (wildcard && labels < 2)
        return "a '*' needs a name of two parts behind it, as in *.example.org";
    return NULL;
}

int pki_dns_check(const char *name, struct error *err)
{
    const char *why = is_address(name) ? "it is an IP address" : dns_problem(name);

    return why != NULL ? error_set(err, -EINVAL, "'%.*s' is not a DNS name that can be used: %s",
                                   SHOWN, name, why)
                       : 0;
}

int pki_host_check(const char *host, struct error *err)
{
    const char *why;

    if (is_address(host))
        return 0;
    why = host[0] == '[' ? "write an IPv6 address without brackets" : dns_problem(host);
    return why != NULL ? error_set(err, -EINVAL, "'%.*s' is not a host that can be used: %s", SHOWN,
                                   host, why)
                       : 0;
}

int pki_uri_check(const char *uri, struct error *err)
{
    size_t length = strlen(uri), scheme = 0;
    const char *why = NULL;

    while (is_alphanumeric(uri[scheme]) ||
           (scheme > 0 && uri[scheme] && strchr("+-.", uri[scheme])))
        scheme++;
    if (scheme == 0 || !isalpha((unsigned char)uri[0]) || uri[scheme] != ':' || !uri[scheme + 1])
        why = "it needs a scheme, as in urn:example:db1 or spiffe://example.org/db1";
    else if (length > URI_BYTES_MAX)
        why = "it has more than 2048 bytes";
    for (size_t i = 0; i < length && why == NULL; i++) {
        if (uri[i] <= ' ' || uri[i] >= 0x7f || strchr("\"<>\\^`{|}", uri[i]))
            why = "write characters that a URI can't have as %XX";
    }
    return why != NULL ? error_set(err, -EINVAL, "'%.*s' is not a URI that can be used: %s", SHOWN,
                                   uri, why)
                       : 0;
}
