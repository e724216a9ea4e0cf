#include "server/serve/serve-metrics.h"

#include <stdlib.h>

#include "server/access/access.h"
#include "server/base/log.h"
#include "server/metrics/http.h"
#include "server/serve/exports.h"
#include "server/serve/listen.h"

struct serve_metrics {
    const struct metrics_options *options;
    struct metrics_names names;
    struct metrics_source source;
    struct access *access;
    struct tls_settings tls_settings;
    struct tls tls; /* its own, where `has_tls` */
    bool has_tls;
    struct listener *listeners[HTTP_SOCKETS_MAX];
    size_t listener_count;
    struct exports *exports;
    struct offload *looks;
    struct http *http; /* NULL: nobody listens */
};

/* While root reads the files, and before there are threads. */
static int open_tls(struct serve_metrics *metrics, struct error *err)
{
    const struct metrics_options *options = metrics->options;
    int result = access_create(&metrics->access, options->allow.items, options->allow.count, err);

    if (result < 0 || options->certificates == NULL)
        return result;
    metrics->has_tls = true;
    metrics->tls_settings = (struct tls_settings){ .mode = "require",
                                                   .certificates = options->certificates,
                                                   .ktls = "off" };
    result = tls_open(&metrics->tls, &metrics->tls_settings, err);
    if (result < 0)
        error_prefix(err, "metrics: ");
    return result;
}

int serve_metrics_open(struct serve_metrics **out, const struct metrics_options *options,
                       struct error *err)
{
    struct serve_metrics *metrics = calloc(1, sizeof *metrics);
    struct listen_address addresses[HTTP_SOCKETS_MAX];
    size_t count = 0;

    *out = NULL;
    if (metrics == NULL)
        return error_no_memory(err, "for metrics");
    metrics->options = options;
    metrics_names_init(&metrics->names, options->exports_max);
    int result = open_tls(metrics, err);
    if (result == 0)
        result = metrics_options_addresses(addresses, &count, options, err);
    for (size_t i = 0; i < count && result == 0; i++) {
        result = listen_open(&metrics->listeners[i], &addresses[i], false, err);
        metrics->listener_count += result == 0;
        if (result < 0)
            error_prefix(err, "metrics: ");
    }
    if (result < 0)
        serve_metrics_free(metrics);
    else
        *out = metrics;
    return result;
}

static const struct export_set *lock(void *context)
{
    return exports_lock(((struct serve_metrics *)context)->exports);
}

static void unlock(void *context)
{
    exports_unlock(((struct serve_metrics *)context)->exports);
}

/* Where it can be asked, for people. */
static void tell(const struct listener *listener, bool tls)
{
    char *uri = listen_uri(listener, "", false);

    if (uri != NULL && listen_unix_path(listener) != NULL)
        log_notice("metrics: Unix socket %s", listen_unix_path(listener));
    else if (uri != NULL)
        log_notice("metrics: http%s://%s", tls ? "s" : "", uri + sizeof "nbd://" - 1);
    free(uri);
}

static int start_http(struct serve_metrics *metrics, struct error *err)
{
    struct http_settings settings = { .access = metrics->access,
                                      .tls = metrics->has_tls ? &metrics->tls : metrics->source.tls,
                                      .fd_count = metrics->listener_count,
                                      .source = &metrics->source,
                                      .hosts = metrics->options->hosts.items,
                                      .host_count = metrics->options->hosts.count };

    for (size_t i = 0; i < metrics->listener_count; i++) {
        settings.fds[i] = listen_fd(metrics->listeners[i]);
        settings.is_tls[i] = metrics->options->tls && !listen_is_unix(metrics->listeners[i]);
    }
    int result = http_start(&metrics->http, &settings, err);
    for (size_t i = 0; i < metrics->listener_count && result == 0; i++)
        tell(metrics->listeners[i], settings.is_tls[i]);
    return result;
}

int serve_metrics_start(struct serve_metrics *metrics, const struct serve_metrics_host *host,
                        struct error *err)
{
    metrics->exports = host->exports;
    metrics->source = (struct metrics_source){
        .board = host->board,
        .places = host->places,
        .tls = host->tls,
        .detail = metrics_options_detail(metrics->options),
        .names = &metrics->names,
        .context = metrics,
        .lock = lock,
        .unlock = unlock,
    };
    int result = offload_create(&metrics->looks, 1, 0, err);
    return result == 0 && metrics->listener_count > 0 ? start_http(metrics, err) : result;
}

struct tls *serve_metrics_tls(struct serve_metrics *metrics)
{
    return metrics != NULL && metrics->has_tls ? &metrics->tls : NULL;
}

const struct metrics_source *serve_metrics_source(const struct serve_metrics *metrics)
{
    return &metrics->source;
}

struct offload *serve_metrics_looks(const struct serve_metrics *metrics)
{
    return metrics->looks;
}

bool serve_metrics_stop(struct serve_metrics *metrics)
{
    if (metrics == NULL)
        return true;
    if (!http_stop(metrics->http)) { /* it may have what others wait for */
        log_warning("metrics: their thread hangs, and is left behind");
        return false;
    }
    metrics->http = NULL;
    offload_destroy(metrics->looks);
    metrics->looks = NULL;
    return true;
}

void serve_metrics_remove_name(const struct serve_metrics *metrics)
{
    for (size_t i = 0; metrics != NULL && i < metrics->listener_count; i++)
        listen_remove_name(metrics->listeners[i]);
}

void serve_metrics_free(struct serve_metrics *metrics)
{
    if (metrics == NULL)
        return;
    for (size_t i = 0; i < metrics->listener_count; i++)
        listen_free(metrics->listeners[i]);
    metrics_names_free(&metrics->names);
    if (metrics->has_tls)
        tls_close(&metrics->tls);
    access_free(metrics->access);
    free(metrics);
}
