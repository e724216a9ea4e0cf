#include "tests/sim/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/loop/buffer.h"
#include "server/serve/limit-options.h"
#include "tests/sim/files.h"
#include "tests/sim/keys.h"
#include "tests/sim/options.h"
#include "tests/sim/pki.h"
#include "tests/sim/rates.h"
#include "tests/sim/texts.h"
#include "tests/sim/trace.h"
#include "tests/sim/volumes.h"
#include "tests/sim/wire.h"

#define TEXT_BYTES_MAX 2048u
#define BUFFERS_LEAST_BYTES (2u * BUFFER_PIECE_BYTES) /* of a worker */

static const char *const names[SITES] = { "front.conf", "store.conf" };

struct writer {
    char text[TEXT_BYTES_MAX];
    size_t bytes;
};

static void say(struct writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct writer *writer, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    writer->bytes += (size_t)vsnprintf(writer->text + writer->bytes,
                                       sizeof(writer->text) - writer->bytes, format, args);
    va_end(args);
    if (writer->bytes >= sizeof(writer->text))
        sim_fail("a configuration is too long");
}

const char *config_path(enum site site)
{
    return site == SITE_FRONT ? SIM_FOLDER "front.conf" : SIM_FOLDER "store.conf";
}

const char *config_image(enum site site)
{
    static char uri[160];

    if (site == SITE_STORE || !options.remote)
        return options.window ? SIM_FOLDER VOLUME_IMAGE "?offset=64K" : SIM_FOLDER VOLUME_IMAGE;
    char timeout[64] = "";

    if (options.lies > 0) /* he may fall silent */
        (void)snprintf(timeout, sizeof(timeout), "&timeout=10");
    if (options.retry_seconds > 0)
        (void)snprintf(timeout + strlen(timeout), sizeof(timeout) - strlen(timeout),
                       "&retry-for=%llu", (unsigned long long)options.retry_seconds);
    if (options.store_tls == TLS_BY_CERTIFICATE) {
        (void)snprintf(uri, sizeof(uri),
                       "nbds://" PKI_ADDRESS "/" DISK "?tls-certificates=" SIM_FOLDER "pki%s",
                       timeout);
        return uri;
    }
    bool tls = options.store_tls == TLS_BY_KEY;
    (void)snprintf(uri, sizeof(uri), "%s+unix://%s/" DISK "?socket=" SIM_FOLDER "store%s%s%s",
                   tls ? "nbds" : "nbd", tls ? "client@" : "", tls ? "&tls-psk-file=" : "",
                   tls ? wire_key_path() : "", timeout);
    return uri;
}

const char *config_group(void)
{
    static char name[24];

    if (options.group_iops == 0)
        return NULL;
    (void)snprintf(name, sizeof(name), "group%u", server_life(SITE_FRONT));
    return name;
}

int config_use_groups(const struct serve_options *read, struct error *err)
{
    int result = limit_options_prepare(read, err);

    if (result == 0)
        limit_options_use(read);
    return result;
}

static void say_server(struct writer *writer, enum site site)
{
    unsigned workers = site == SITE_FRONT ? (unsigned)options.workers : STORE_WORKERS;

    say(writer, "[server]\nthreads = %u\nshutdown-timeout = 10\nmemory-max = %llu\n", workers,
        workers * (unsigned long long)options.buffers * BUFFERS_LEAST_BYTES);
    if (site == SITE_FRONT && options.retry_exports)
        say(writer, "retry-exports = 1\n");
    if (site == SITE_FRONT && options.open_seconds > 0)
        say(writer, "open-timeout = %llu\n", (unsigned long long)options.open_seconds);
    if (site == SITE_FRONT && options.places > 0)
        say(writer, "max-connections = %llu\n", (unsigned long long)options.places);
    if (site == SITE_STORE && options.store_is_old)
        say(writer, "no-extended-headers = yes\n");
    enum tls_proof proof =
        site == SITE_STORE ? (enum tls_proof)options.store_tls : (enum tls_proof)options.tls;
    if (proof == TLS_BY_KEY)
        say(writer, "[tls]\nmode = require\nktls = off\npsk = %s\n", wire_key_path());
    else if (proof == TLS_BY_CERTIFICATE)
        say(writer, "[tls]\nmode = require\nktls = off\ncertificates = " SIM_FOLDER "pki\n");
}

static void say_rate(struct writer *writer, const char *name, uint64_t rate)
{
    if (rate > 0)
        say(writer, "%s = %llu\n", name, (unsigned long long)rate);
}

static void say_limits(struct writer *writer, const struct config_wish *wish)
{
    const struct rates rates = rates_of(wish->limits + 1);

    if (config_group() != NULL)
        say(writer, "limit-group = %s\n", config_group());
    say_rate(writer, "limit-iops", rates.iops);
    say_rate(writer, "limit-bandwidth", rates.bytes);
    say_rate(writer, "client-limit-iops", rates.client_iops);
    say_rate(writer, "limit-io-size", options.io_size_kib * 1024);
    if (options.burst_seconds > 0 && rates.iops > 0)
        say(writer, "burst-iops = %llu/%llu\n", 2 * (unsigned long long)rates.iops,
            (unsigned long long)options.burst_seconds);
    if (options.burst_seconds > 0 && rates.bytes > 0)
        say(writer, "burst-bandwidth = %llu/%llu\n", 2 * (unsigned long long)rates.bytes,
            (unsigned long long)options.burst_seconds);
}

/* One that is read again and again until the disk can be opened has to be there for good. */
static const char *key_of_disk(void)
{
    const char *drawn = keys_any();

    return options.retry_exports ? KEYS_FIRST : drawn;
}

/* The store has the image as it is; the front has LUKS, above the image or above the store. */
static void say_disk(struct writer *writer, enum site site, const struct config_wish *wish)
{
    bool front = site == SITE_FRONT;

    say(writer, "[export " DISK "]\nimage = %s\n", config_image(site));
    if (!front || options.layer == 0)
        say(writer, "raw = yes\n");
    else
        say(writer, "key-file = " SIM_FOLDER "%s\n", key_of_disk());
    if (front && options.layer > 0 && options.detached)
        say(writer, "header = " SIM_FOLDER VOLUME_HEADER "\n");
    if (front && options.discard)
        say(writer, "discard = yes\n");
    if (front && options.zero_holes)
        say(writer, "zero-holes = yes\n");
    if (wish->description > 0)
        say(writer, "description = number %u\n", wish->description);
    if (wish->nobody)
        say(writer, "allow = psk:nobody\n");
    else if (wish->other_rules)
        say(writer, "allow = any\n");
    if (front)
        say_limits(writer, wish);
}

void config_write(enum site site, const struct config_wish *wish)
{
    struct writer writer = { .bytes = 0 };

    say_server(&writer, site);
    if (site == SITE_FRONT && config_group() != NULL)
        say(&writer, "[limits %s]\nlimit-iops = %llu\n", config_group(),
            (unsigned long long)options.group_iops);
    if (!wish->no_disk)
        say_disk(&writer, site, wish);
    if (site == SITE_FRONT && options.neighbour)
        say(&writer,
            "[export " NEIGHBOUR "]\nimage = " SIM_FOLDER VOLUME_NEIGHBOUR "\nraw = yes\n");
    if (wish->other > 0)
        say(&writer, "[export " OTHER "]\nimage = " SIM_FOLDER VOLUME_OTHER "%u\nraw = yes\n",
            wish->other);
    if (wish->broken)
        say(&writer, "descri");
    text_put(names[site], writer.text, writer.bytes);
}
