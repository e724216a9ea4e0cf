#include "server/export/limit-settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/params.h"
#include "server/base/rate-limit.h"

#define BURST_SECONDS_MAX 86400u
#define NUMBER_BYTES 24u

static const char *const names[LIMIT_KINDS] = {
    [LIMIT_IOPS] = "limit-iops",
    [LIMIT_READ_IOPS] = "limit-read-iops",
    [LIMIT_WRITE_IOPS] = "limit-write-iops",
    [LIMIT_BANDWIDTH] = "limit-bandwidth",
    [LIMIT_READ_BANDWIDTH] = "limit-read-bandwidth",
    [LIMIT_WRITE_BANDWIDTH] = "limit-write-bandwidth",
};

static const char *const burst_names[LIMIT_KINDS] = {
    [LIMIT_IOPS] = "burst-iops",
    [LIMIT_READ_IOPS] = "burst-read-iops",
    [LIMIT_WRITE_IOPS] = "burst-write-iops",
    [LIMIT_BANDWIDTH] = "burst-bandwidth",
    [LIMIT_READ_BANDWIDTH] = "burst-read-bandwidth",
    [LIMIT_WRITE_BANDWIDTH] = "burst-write-bandwidth",
};

const char *limit_kind_name(enum limit_kind kind)
{
    return names[kind];
}

const char *limit_kind_burst_name(enum limit_kind kind)
{
    return burst_names[kind];
}

/* "RATE/SECONDS", RATE as a size. */
static bool parse_burst(const char *text, uint64_t *rate, unsigned *seconds)
{
    const char *slash = strchr(text, '/');
    char number[NUMBER_BYTES] = "";
    char *end;

    if (slash == NULL || slash == text || (size_t)(slash - text) >= sizeof number ||
        slash[1] < '0' || slash[1] > '9')
        return false;
    memcpy(number, text, (size_t)(slash - text));
    unsigned long long value = strtoull(slash + 1, &end, 10);
    if (*end != '\0' || value < 1 || value > BURST_SECONDS_MAX)
        return false;
    *seconds = (unsigned)value;
    return params_parse_size(rate, number, NULL) == 0 && *rate <= RATE_LIMIT_MAX;
}

static int take_burst(struct limit_terms *terms, unsigned kind, const char *text, struct error *err)
{
    uint64_t *rate = &terms->burst_rate[kind];

    if (text == NULL || strcmp(text, "off") == 0 || strcmp(text, "0") == 0)
        return 0;
    if (!parse_burst(text, rate, &terms->burst_seconds[kind]))
        return error_set(err, -EINVAL,
                         "%s: '%.40s' is no burst: write RATE/SECONDS, such as 2000/30, with at "
                         "most 86400 seconds, or off",
                         burst_names[kind], text);
    if (terms->rate[kind] == 0)
        return error_set(err, -EINVAL, "%s goes beyond %s, which is not given", burst_names[kind],
                         names[kind]);
    if (*rate <= terms->rate[kind])
        return error_set(err, -EINVAL,
                         "%s: %llu is not more than the %llu of %s, which a burst goes beyond",
                         burst_names[kind], (unsigned long long)*rate,
                         (unsigned long long)terms->rate[kind], names[kind]);
    return 0;
}

int limit_settings_terms(struct limit_terms *out, const struct limit_settings *settings,
                         struct error *err)
{
    int result = 0;

    *out = (struct limit_terms){ .io_size_bytes = settings->io_size_bytes,
                                 .client_iops = settings->client_iops,
                                 .client_bandwidth = settings->client_bandwidth };
    for (unsigned i = 0; i < LIMIT_KINDS; i++)
        out->rate[i] =
            i < LIMIT_IOPS_KINDS ? settings->iops[i] : settings->bandwidth[i - LIMIT_IOPS_KINDS];
    for (unsigned i = 0; i < LIMIT_KINDS && result == 0; i++)
        result = take_burst(out, i, settings->burst[i], err);
    return result;
}

static void put_burst(char out[LIMIT_TEXT_BYTES], const struct limit_terms *terms, unsigned kind)
{
    (void)snprintf(out, LIMIT_TEXT_BYTES, "%llu/%u", (unsigned long long)terms->burst_rate[kind],
                   terms->burst_seconds[kind]);
}

void limit_terms_settings(struct limit_settings *out, char texts[LIMIT_KINDS][LIMIT_TEXT_BYTES],
                          const struct limit_terms *terms)
{
    *out = (struct limit_settings){ .io_size_bytes = terms->io_size_bytes,
                                    .client_iops = (unsigned)terms->client_iops,
                                    .client_bandwidth = terms->client_bandwidth };
    for (unsigned i = 0; i < LIMIT_KINDS; i++) {
        if (i < LIMIT_IOPS_KINDS)
            out->iops[i] = (unsigned)terms->rate[i];
        else
            out->bandwidth[i - LIMIT_IOPS_KINDS] = terms->rate[i];
        put_burst(texts[i], terms, i);
        out->burst[i] = terms->burst_rate[i] > 0 ? texts[i] : NULL;
    }
}

/* Rates and their bursts, and then the others. */
bool limit_terms_next(const struct limit_terms *terms, unsigned *at, const char **key,
                      char value[LIMIT_TEXT_BYTES])
{
    for (; *at < 2 * LIMIT_KINDS; ++*at) {
        unsigned kind = *at / 2;
        bool burst = *at % 2 == 1;

        if (terms->rate[kind] == 0 || (burst && terms->burst_rate[kind] == 0))
            continue;
        *key = burst ? burst_names[kind] : names[kind];
        put_burst(value, terms, kind);
        if (!burst)
            (void)snprintf(value, LIMIT_TEXT_BYTES, "%llu", (unsigned long long)terms->rate[kind]);
        ++*at;
        return true;
    }
    const struct {
        const char *key;
        uint64_t value;
    } others[] = { { "limit-io-size", terms->io_size_bytes },
                   { "client-limit-iops", terms->client_iops },
                   { "client-limit-bandwidth", terms->client_bandwidth } };
    for (unsigned i = *at - 2 * LIMIT_KINDS; i < sizeof others / sizeof others[0]; i++, ++*at) {
        if (others[i].value == 0)
            continue;
        *key = others[i].key;
        (void)snprintf(value, LIMIT_TEXT_BYTES, "%llu", (unsigned long long)others[i].value);
        ++*at;
        return true;
    }
    return false;
}

struct limit_terms limit_terms_of_client(const struct limit_terms *terms)
{
    return (struct limit_terms){
        .rate = { [LIMIT_IOPS] = terms->client_iops, [LIMIT_BANDWIDTH] = terms->client_bandwidth },
        .io_size_bytes = terms->io_size_bytes
    };
}

bool limit_terms_hold(const struct limit_terms *terms)
{
    for (unsigned i = 0; i < LIMIT_KINDS; i++)
        if (terms->rate[i] > 0)
            return true;
    return terms->client_iops > 0 || terms->client_bandwidth > 0;
}

bool limit_terms_equal(const struct limit_terms *a, const struct limit_terms *b)
{
    bool equal = a->io_size_bytes == b->io_size_bytes && a->client_iops == b->client_iops &&
                 a->client_bandwidth == b->client_bandwidth;

    for (unsigned i = 0; i < LIMIT_KINDS; i++)
        equal &= a->rate[i] == b->rate[i] && a->burst_rate[i] == b->burst_rate[i] &&
                 a->burst_seconds[i] == b->burst_seconds[i];
    return equal;
}
