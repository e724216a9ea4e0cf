/* The options of `serve` that are about metrics and the status page. */
#ifndef NBDCRYPT_METRICS_OPTIONS_H
#define NBDCRYPT_METRICS_OPTIONS_H

#include "server/base/params.h"
#include "server/metrics/metrics-source.h"
#include "server/serve/listen-address.h"
#include "server/tls/tls-settings.h"

#define METRICS_EXPORTS_MAX_DEFAULT 100u

/* --metrics-listen and the options that begin like it. */
struct metrics_options {
    const char *listen, *unix_path; /* NULL: not there */
    bool insecure;                  /* also those may ask who are not on this machine */
    bool tls;                       /* `listen` is HTTPS, for those with a certificate */
    const char *certificates;       /* as tls_settings.certificates; NULL: those of NBD */
    struct param_list allow;        /* rules of who may ask; empty: everybody */
    struct param_list hosts;
    const char *exports; /* "full", "basic", "off"; NULL: full */
    unsigned exports_max;
};

/* -EINVAL with a sentence for what makes no sense; `tls` is that of NBD. */
NODISCARD int metrics_options_check(const struct metrics_options *options,
                                    const struct tls_settings *tls, struct error *err);

/* Where it listens: *count of at most two. */
NODISCARD int metrics_options_addresses(struct listen_address out[2], size_t *count,
                                        const struct metrics_options *options, struct error *err);
enum metrics_detail metrics_options_detail(const struct metrics_options *options);

#endif
