#include "server/serve/metrics-options.h"

#include <errno.h>
#include <string.h>

#include "server/metrics/http-host.h"
#include "server/metrics/http.h"

#define SOCKET_MODE 0660

/* Nobody else can reach it. */
static bool is_of_this_machine(const struct listen_address *address)
{
    if (address->address.any.sa_family == AF_INET)
        return ntohl(address->address.v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    if (address->address.any.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&address->address.v6.sin6_addr);
    return true;
}

/* "--listen x: ..." -> "--metrics-listen x: ..." */
static int own_name(int code, struct error *err)
{
    struct error own = *err;

    return error_set(err, code, "--metrics-%s", own.text + strspn(own.text, "-"));
}

static int check_reach(const struct listen_address *address, struct error *err)
{
    if (is_of_this_machine(address))
        return 0;
    return error_set(err, -EINVAL,
                     "--metrics-listen %s: other machines could ask there without TLS who the "
                     "clients are; listen on a loopback address with a proxy in front of it, or "
                     "say --metrics-insecure",
                     address->text);
}

int metrics_options_addresses(struct listen_address out[2], size_t *count,
                              const struct metrics_options *options, struct error *err)
{
    int result = 0;

    *count = 0;
    memset(out, 0, 2 * sizeof out[0]);
    if (options->listen != NULL) {
        result = listen_address_parse_tcp(&out[*count], options->listen, err);
        if (result < 0)
            return own_name(result, err);
        if (!options->insecure)
            result = check_reach(&out[*count], err);
        ++*count;
    }
    if (result == 0 && options->unix_path != NULL) {
        out[*count].permissions =
            (struct unix_permissions){ .has_mode = true, .mode = SOCKET_MODE };
        result = listen_address_parse_unix(&out[*count], options->unix_path, err);
        if (result < 0)
            return own_name(result, err);
        ++*count;
    }
    return result;
}

enum metrics_detail metrics_options_detail(const struct metrics_options *options)
{
    static const char *const names[] = {
        [METRICS_FULL] = "full", [METRICS_BASIC] = "basic", [METRICS_OFF] = "off"
    };
    int detail = METRICS_OFF;

    while (detail > METRICS_FULL && options->exports != NULL &&
           strcmp(options->exports, names[detail]) != 0)
        detail--;
    return options->exports != NULL ? (enum metrics_detail)detail : METRICS_FULL;
}

static int check_exports(const struct metrics_options *options, struct error *err)
{
    const char *text = options->exports;

    if (text == NULL || strcmp(text, "full") == 0 || strcmp(text, "basic") == 0 ||
        strcmp(text, "off") == 0)
        return 0;
    return error_set(err, -EINVAL, "--metrics-exports %s: it is full, basic or off", text);
}

int metrics_options_check(const struct metrics_options *options, struct error *err)
{
    bool http = options->listen != NULL || options->unix_path != NULL;
    struct listen_address addresses[2];
    size_t count;

    if (!http && (options->insecure || options->hosts.count > 0))
        return error_set(err, -EINVAL,
                         "--metrics-%s means nothing without --metrics-listen or --metrics-unix",
                         options->insecure ? "insecure" : "hosts");
    if (http && !http_is_there())
        return error_set(err, -EINVAL,
                         "--metrics-%s: this program was built without libmicrohttpd; `nbdcrypt "
                         "ctl metrics` has the metrics, too",
                         options->listen != NULL ? "listen" : "unix");
    for (size_t i = 0; i < options->hosts.count; i++)
        if (!http_host_is_name(options->hosts.items[i]))
            return error_set(err, -EINVAL,
                             "--metrics-hosts %s: it is the name of a host, without a port",
                             options->hosts.items[i]);
    int result = check_exports(options, err);
    return result == 0 ? metrics_options_addresses(addresses, &count, options, err) : result;
}
