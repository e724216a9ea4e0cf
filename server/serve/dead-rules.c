#include "server/serve/dead-rules.h"

#include "server/access/access.h"
#include "server/base/log.h"

/* What a client can bring along here. */
static unsigned ways_in(const struct serve_options *options, const struct listeners *listeners)
{
    unsigned ways = 0;

    if (options->tls_mode != TLS_OFF && options->tls.certificates != NULL &&
        !options->tls.no_verify_peer)
        ways |= ACCESS_BY_CERTIFICATE;
    if (options->tls_mode != TLS_OFF && options->tls.psk != NULL)
        ways |= ACCESS_BY_PSK;

    for (size_t i = 0; i < listeners->count; i++)
        ways |= listen_is_unix(listeners->items[i].listener) ? ACCESS_BY_UNIX : ACCESS_BY_TCP;
    return ways;
}

void dead_rules_warn(const struct serve_options *options, const struct listeners *listeners)
{
    unsigned ways = ways_in(options, listeners);
    bool common_done = false;

    for (size_t i = 0; i < options->export_count; i++) {
        const struct export_settings *settings = &options->exports[i];
        bool own = settings->allow.count > 0;

        for (size_t k = 0; (own || !common_done) && k < access_rule_count(settings->access); k++) {
            const char *why = access_rule_is_dead(settings->access, k, ways);
            const char *text = access_rule_text(settings->access, k);

            if (why != NULL && own)
                log_warning("export '%s': allow=%s lets nobody in: %s", settings->name, text, why);
            else if (why != NULL)
                log_warning("--allow %s lets nobody in: %s", text, why);
        }
        common_done |= !own;
    }
}
