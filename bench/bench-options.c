#include "bench/bench-options.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench-client.h"
#include "bench/verify-cell.h"
#include "server/base/params.h"

#define TIME_MS_DEFAULT 10000u
#define TIME_S_MAX 10000000.0
#define BLOCK_BYTES_MAX (32u << 20)
#define CONNECTIONS_MAX 16384u
#define THREADS_MAX 1024u

#define FIELD(field) offsetof(struct bench_options, field)

static const struct param bench_params[] = {
    PARAM("connections", UINT, "N", connections, "connections to the export (default: 1)",
          .letter = 'c', .min = 1, .max = CONNECTIONS_MAX),
    PARAM("depth", UINT, "N", depth, "requests in flight on each connection (default: 16)",
          .letter = 'd', .min = 1, .max = BENCH_CLIENT_DEPTH_MAX),
    PARAM("threads", UINT, "N", threads,
          "threads that the connections are shared out to (default: 1)", .letter = 't', .min = 1,
          .max = THREADS_MAX),
    PARAM(
        "block", STRING, "SIZE[-MAX]", block_text,
        "size of a request, or a range of which each multiple of the least size comes up (default: "
        "4K)",
        .letter = 'b'),
    PARAM("write", UINT, "PERCENT", write_percent,
          "of the requests write, and destroy what is there (default: 0, the rest read)",
          .letter = 'w', .max = 100),
    PARAM("trim", UINT, "PERCENT", trim_percent, "of the requests trim (default: 0)", .max = 100),
    PARAM("zero", UINT, "PERCENT", zero_percent,
          "of the requests write zeros by command (default: 0)", .max = 100),
    PARAM("pattern", STRING, "PATTERN", pattern_text,
          "sequential, random, zipf or zipf:THETA (default: random; THETA: 0.99)", .letter = 'p'),
    PARAM("offset", SIZE, "SIZE", offset_bytes, "where the area that is used begins (default: 0)",
          .max = INT64_MAX),
    PARAM("size", SIZE, "SIZE", size_bytes, "of the area (default: to the end of the export)",
          .min = 1, .max = INT64_MAX),
    PARAM("time", STRING, "SECONDS", time_text,
          "that are measured, 0.5 too (default: 10, unless --count or --passes is given)"),
    PARAM("count", SIZE, "N", count, "requests that are measured, exactly", .min = 1),
    PARAM("passes", UINT, "N", passes, "times that a sequential run goes over the area", .min = 1),
    PARAM("warm-up", STRING, "SECONDS", warm_up_text, "before anything is measured (default: 0)"),
    PARAM("timeout", UINT, "SECONDS", timeout_s,
          "without any answer after which the run has failed (default: 30)", .min = 1,
          .max = 10000000),
    PARAM("client", STRING, "CLIENT", client_text,
          "own, or libnbd: what programs see that are built with it (default: own)"),
    PARAM("simple", FLAG, NULL, simple, "simple replies: structured ones are not asked for"),
    PARAM("no-extended-headers", FLAG, NULL, no_extended_headers,
          "structured replies: extended headers are not asked for"),
    PARAM(
        "verify", FLAG, NULL, verify,
        "write blocks that describe themselves, check what is read, and read all back at the end"),
    PARAM("read-back", FLAG, NULL, read_back,
          "check what an earlier run with --verify has written"),
    PARAM("check-history", FLAG, NULL, check_history,
          "clients read and write the same places at once, and connect again when the server goes "
          "away; every answer is judged"),
    PARAM("state", STRING, "FILE", state_path,
          "where --verify notes what must be where, and --read-back finds it"),
    PARAM("seed", SIZE, "N", seed, "of the pseudo-random numbers (default: another one each time)",
          .min = 1),
    PARAM("server-pid", UINT, "PID", server_pid,
          "process whose CPU time is measured, with those that it has forked", .min = 1,
          .max = INT32_MAX),
    PARAM("json", FLAG, NULL, json, "print JSON instead of a table"),
    PARAM("help", FLAG, NULL, help, "print this", .letter = 'h'),
    PARAM("version", FLAG, NULL, version, "print the version", .letter = 'V'),
    { 0 },
};

void bench_options_print_help(FILE *out)
{
    fprintf(out, "Keeps an NBD server busy and measures how it does.\n"
                 "\n"
                 "Usage: nbdcrypt-bench [OPTIONS] URI\n"
                 "\n"
                 "URI is nbd://HOST[:PORT][/NAME] or nbd+unix:///[NAME]?socket=PATH, or with TLS\n"
                 "nbds://HOST[:PORT]/[NAME]?tls-certificates=DIR or\n"
                 "nbds+unix://USER@/[NAME]?socket=PATH&tls-psk-file=FILE.\n"
                 "Sizes and N of --count take the suffixes K, M, G and T, powers of 1024.\n"
                 "\n");
    params_print_help(out, bench_params);
}

/* ---- values with a form of their own ---- */

static int check_block_bytes(uint64_t bytes, struct error *err)
{
    if (bytes > 0 && bytes <= BLOCK_BYTES_MAX)
        return 0;
    return error_set(err, -EINVAL, "--block: a request has 1 byte to 32M");
}

static int parse_block(struct bench_options *options, struct error *err)
{
    char text[64];
    uint64_t least, most;
    size_t length = strcspn(options->block_text, "-");

    if (length >= sizeof text)
        return error_set(err, -EINVAL, "--block: '%.50s...' is no size", options->block_text);
    memcpy(text, options->block_text, length);
    text[length] = '\0';
    int result = params_parse_size(&least, text, err);
    most = least;
    if (result == 0 && options->block_text[length] == '-')
        result = params_parse_size(&most, options->block_text + length + 1, err);
    if (result != 0) {
        error_prefix(err, "--block: ");
        return result;
    }
    if (check_block_bytes(least, err) != 0 || check_block_bytes(most, err) != 0)
        return -EINVAL;
    if (most < least || most % least != 0)
        return error_set(err, -EINVAL, "--block: in MIN-MAX, MAX is a multiple of MIN");
    options->block_min_bytes = (uint32_t)least;
    options->block_max_bytes = (uint32_t)most;
    return 0;
}

static int parse_theta(struct bench_options *options, const char *text, struct error *err)
{
    char *end;

    options->theta = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(options->theta) || options->theta <= 0 ||
        options->theta > ZIPF_THETA_MAX)
        return error_set(err, -EINVAL, "--pattern: '%s' is no THETA: it is above 0 and at most %g",
                         text, ZIPF_THETA_MAX);
    return 0;
}

static int parse_pattern(struct bench_options *options, struct error *err)
{
    const char *text = options->pattern_text;

    if (strcmp(text, "sequential") == 0)
        options->pattern = WORKLOAD_SEQUENTIAL;
    else if (strcmp(text, "random") == 0)
        options->pattern = WORKLOAD_RANDOM;
    else if (strcmp(text, "zipf") == 0 || strncmp(text, "zipf:", 5) == 0)
        options->pattern = WORKLOAD_ZIPF;
    else
        return error_set(err, -EINVAL, "--pattern: '%s' is neither sequential nor random nor zipf",
                         text);
    return text[0] == 'z' && text[4] == ':' ? parse_theta(options, text + 5, err) : 0;
}

static int parse_client(struct bench_options *options, struct error *err)
{
    const char *text = options->client_text;

    options->libnbd = text != NULL && strcmp(text, "libnbd") == 0;
    if (text == NULL || options->libnbd || strcmp(text, "own") == 0)
        return 0;
    return error_set(err, -EINVAL, "--client: '%s' is neither own nor libnbd", text);
}

/* Milliseconds are the least that is told apart; what is not zero does not become zero. */
static int parse_seconds(uint64_t *out_ms, const char *name, const char *text, struct error *err)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end != '\0' || !isfinite(seconds) || seconds < 0 || seconds > TIME_S_MAX)
        return error_set(err, -EINVAL, "--%s: '%s' is no number of seconds from 0 to %.0f", name,
                         text, TIME_S_MAX);
    *out_ms = (uint64_t)ceil(seconds * 1000);
    return 0;
}

static int parse_times(struct bench_options *options, struct error *err)
{
    int result = 0;

    if (options->time_text != NULL)
        result = parse_seconds(&options->time_ms, "time", options->time_text, err);
    if (result == 0 && options->time_text != NULL && options->time_ms == 0)
        return error_set(err, -EINVAL, "--time: in 0 seconds there is nothing to measure");
    if (result == 0 && options->warm_up_text != NULL)
        result = parse_seconds(&options->warm_up_ms, "warm-up", options->warm_up_text, err);
    return result;
}

/* ---- what makes no sense together ---- */

static int check_mix(const struct bench_options *options, struct error *err)
{
    if (options->write_percent + options->trim_percent + options->zero_percent > 100)
        return error_set(err, -EINVAL,
                         "--write, --trim and --zero are more than 100 percent "
                         "together");
    if (options->threads > options->connections)
        return error_set(err, -EINVAL,
                         "--threads %u: each has at least one connection, and there "
                         "are %u (--connections)",
                         options->threads, options->connections);
    return 0;
}

static int check_verify(const struct bench_options *options, struct error *err)
{
    bool changes =
        options->write_percent > 0 || options->trim_percent > 0 || options->zero_percent > 0;

    if (options->state_path != NULL && !options->verify && !options->read_back)
        return error_set(err, -EINVAL, "--state goes with --verify or --read-back");
    if (!options->verify && !options->read_back)
        return 0;
    if (options->verify && options->read_back)
        return error_set(err, -EINVAL,
                         "--verify reads back what it has written by itself; "
                         "--read-back is for another run");
    if (options->verify && options->write_percent == 0 && options->zero_percent == 0)
        return error_set(err, -EINVAL,
                         "--verify without --write has nothing to verify; for what "
                         "an earlier run has written there is --read-back");
    if (options->read_back && changes)
        return error_set(err, -EINVAL, "--read-back only reads");
    if (options->block_min_bytes % CELL_BYTES != 0 || options->offset_bytes % CELL_BYTES != 0)
        return error_set(err, -EINVAL,
                         "what is verified consists of cells of %u bytes: --block "
                         "and --offset are multiples of it",
                         CELL_BYTES);
    if (options->read_back && options->state_path != NULL &&
        (options->offset_bytes != 0 || options->size_bytes != 0 || options->seed != 0))
        return error_set(err, -EINVAL,
                         "with --read-back --state the area and the seed are those "
                         "of the file: leave out --offset, --size and --seed");
    return 0;
}

/* It has a run of its own, which takes few of the options. */
static int check_history(const struct bench_options *options, struct error *err)
{
    if (!options->check_history)
        return 0;
    if (options->verify || options->read_back || options->json || options->pattern_text != NULL ||
        options->count != 0 || options->passes != 0 || options->warm_up_ms != 0 ||
        options->threads > 1 || options->libnbd)
        return error_set(err, -EINVAL,
                         "--check-history takes neither --verify, --read-back, --json, --pattern, "
                         "--count, --passes, --warm-up, --threads nor --client libnbd");
    return 0;
}

static int check_end(struct bench_options *options, struct error *err)
{
    if (options->read_back) {
        if (options->pattern_text != NULL || options->time_ms != 0 || options->count != 0 ||
            options->passes != 0 || options->warm_up_ms != 0)
            return error_set(err, -EINVAL,
                             "--read-back goes over the area once: it takes neither "
                             "--pattern nor --time, --count, --passes or --warm-up");
        options->pattern = WORKLOAD_SEQUENTIAL;
        options->passes = 1;
        return 0;
    }
    if (options->passes != 0 && options->pattern != WORKLOAD_SEQUENTIAL)
        return error_set(err, -EINVAL, "--passes goes with --pattern sequential");
    if (options->passes != 0 && options->warm_up_ms != 0)
        return error_set(err, -EINVAL,
                         "--passes measures from the first request on: leave out "
                         "--warm-up");
    if (options->time_ms == 0 && options->count == 0 && options->passes == 0)
        options->time_ms = TIME_MS_DEFAULT;
    return 0;
}

static int check(struct bench_options *options, struct error *err)
{
    int result = parse_block(options, err);

    if (result == 0)
        result = parse_client(options, err);
    if (result == 0 && options->pattern_text != NULL)
        result = parse_pattern(options, err);
    if (result == 0)
        result = parse_times(options, err);
    if (result == 0)
        result = check_mix(options, err);
    if (result == 0)
        result = check_verify(options, err);
    if (result == 0)
        result = check_history(options, err);
    return result == 0 ? check_end(options, err) : result;
}

int bench_options_parse(struct bench_options *out, int argc, char **argv, struct error *err)
{
    int first;

    *out = (struct bench_options){
        .connections = 1,
        .depth = 16,
        .threads = 1,
        .block_text = "4K",
        .pattern = WORKLOAD_RANDOM,
        .theta = ZIPF_THETA_DEFAULT,
        .timeout_s = 30,
    };
    int result = params_parse_argv(out, bench_params, argc, argv, &first, err);
    if (result != 0 || out->help || out->version)
        return result;
    if (first == argc)
        return error_set(err, -EINVAL, "the URI of the export is missing: nbdcrypt-bench --help");
    if (argc - first > 1)
        return error_set(err, -EINVAL, "'%s' is too much: there is one URI", argv[first + 1]);
    out->uri = argv[first];
    return check(out, err);
}
