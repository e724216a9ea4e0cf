#include "server/serve/metrics-options.h"

#include <errno.h>
#include <string.h>

#include "server/access/access.h"
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
                     "clients are; say --metrics-tls, listen on a loopback address with a proxy in "
                     "front of it, or say --metrics-insecure",
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
        if (!options->insecure && !options->tls)
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

/* Of what NBD has: a certificate, and a CA that those of clients are measured by. */
static int check_certificates(const struct tls_settings *tls, struct error *err)
{
    if (tls->certificates == NULL || (tls->mode != NULL && strcmp(tls->mode, "off") == 0))
        return error_set(err, -EINVAL,
                         "--metrics-tls: there is no certificate: give --metrics-certificates, or "
                         "--tls-certificates, which is then used, too");
    if (tls->no_verify_peer)
        return error_set(err, -EINVAL,
                         "--metrics-tls: with --tls-no-verify-peer strangers could ask who the "
                         "clients are: give --metrics-certificates, with a ca-cert.pem");
    return 0;
}

static int check_tls(const struct metrics_options *options, const struct tls_settings *tls,
                     struct error *err)
{
    if (!options->tls && options->certificates != NULL)
        return error_set(err, -EINVAL,
                         "--metrics-certificates is for --metrics-tls: say that, too");
    if (!options->tls)
        return 0;
    if (options->listen == NULL)
        return error_set(err, -EINVAL, "--metrics-tls is for --metrics-listen: there is none");
    if (options->insecure)
        return error_set(err, -EINVAL,
                         "--metrics-tls and --metrics-insecure contradict each other: leave out "
                         "one of the two");
    if (!http_has_tls())
        return error_set(err, -EINVAL,
                         "--metrics-tls: the libmicrohttpd of this machine has no TLS: put a proxy "
                         "in front of a loopback address");
    return options->certificates == NULL ? check_certificates(tls, err) : 0;
}

static int check_allow(const struct metrics_options *options, struct error *err)
{
    struct access *access = NULL;
    int result = access_create(&access, options->allow.items, options->allow.count, err);

    if (result < 0)
        error_prefix(err, "--metrics-allow: ");
    access_free(access);
    return result;
}

/* An option that needs HTTP; NULL: there is none. */
static const char *about_http(const struct metrics_options *options)
{
    return options->insecure               ? "insecure"
           : options->tls                  ? "tls"
           : options->certificates != NULL ? "certificates"
           : options->allow.count > 0      ? "allow"
           : options->hosts.count > 0      ? "hosts"
                                           : NULL;
}

int metrics_options_check(const struct metrics_options *options, const struct tls_settings *tls,
                          struct error *err)
{
    bool http = options->listen != NULL || options->unix_path != NULL;
    struct listen_address addresses[2];
    size_t count;

    if (!http && about_http(options) != NULL)
        return error_set(err, -EINVAL,
                         "--metrics-%s means nothing without --metrics-listen or --metrics-unix",
                         about_http(options));
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
    if (result == 0)
        result = check_tls(options, tls, err);
    if (result == 0)
        result = check_allow(options, err);
    return result == 0 ? metrics_options_addresses(addresses, &count, options, err) : result;
}
