/* nbdcrypt-bench [OPTIONS] URI: keeps an NBD server busy and measures how it does.
 * Exit status: 0, 1 failure (also: something read was not what was written), 2 usage. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/bench-options.h"
#include "bench/bench-report.h"
#include "bench/bench-session.h"
#include "bench/history-run.h"
#include "bench/load.h"
#include "server/base/log.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown (built without configure)"
#endif

#define EXIT_USAGE 2
#define NS_PER_MS 1000000u

static struct load_config load_config_of(struct bench_session *session)
{
    const struct bench_options *options = session->options;

    return (struct load_config){
        .clients = session->clients,
        .client_count = session->client_count,
        .thread_count = options->threads,
        .workload = session->workload,
        .warm_up_ns = options->warm_up_ms * NS_PER_MS,
        .time_ns = options->time_ms * NS_PER_MS,
        .count = options->count,
        .timeout_s = options->timeout_s,
        .server_pid = (pid_t)options->server_pid,
        .verify = session->has_verify ? &session->verify : NULL,
        .read_back = options->read_back,
        .progress_title = options->read_back ? "reading back" : "measuring",
    };
}

/* What was written is read once more, all of it, when nothing is being written any more. */
static int read_back(struct bench_session *session, struct error *err)
{
    struct load_config config = load_config_of(session);
    struct load_result *result = calloc(1, sizeof *result);

    if (result == NULL)
        return error_no_memory(err, NULL);
    config.read_back = true;
    config.progress_title = "reading back";
    config.warm_up_ns = config.time_ns = config.count = 0;
    config.server_pid = 0;
    config.workload.pattern = WORKLOAD_SEQUENTIAL;
    config.workload.passes = 1;
    config.workload.block_min_bytes = config.workload.block_max_bytes;
    for (unsigned i = 0; i < WORKLOAD_COMMANDS; i++)
        config.workload.percent[i] = i == WORKLOAD_READ ? 100 : 0;
    int code = load_run(&config, result, err);
    if (code == 0 && result->interrupted)
        code = error_set(err, -EINTR, "interrupted while what was written was being read back");
    free(result);
    return code;
}

static int report(const struct bench_session *session, const struct load_result *result,
                  struct error *err)
{
    struct bench_report report = {
        .options = session->options,
        .export_name = session->uri->export_name,
        .info = &session->info,
        .workload = &session->workload,
        .result = result,
        .verify = session->has_verify ? &session->verify : NULL,
    };

    if (session->options->json)
        bench_report_json(stdout, &report);
    else
        bench_report_table(stdout, &report);
    if (fflush(stdout) != 0 || ferror(stdout))
        return error_set(err, -EIO, "standard output can't be written");
    if (session->has_verify && session->verify.cells_faulty > 0)
        return error_set(err, -EIO, "%" PRIu64 " cells of %u bytes do not hold what was written",
                         session->verify.cells_faulty, CELL_BYTES);
    if (result->interrupted)
        return error_set(err, -EINTR, "interrupted: the figures are those of a shorter run");
    return 0;
}

static int measure(struct bench_session *session, struct error *err)
{
    struct load_result *result = calloc(1, sizeof *result);
    struct load_config config = load_config_of(session);

    if (result == NULL)
        return error_no_memory(err, NULL);
    config.show_progress = true;
    int code = load_run(&config, result, err);
    if (code == 0 && session->options->verify)
        code = read_back(session, err);
    if (code == 0)
        code = report(session, result, err);
    free(result);
    return code;
}

static int run(const struct bench_options *options, const struct nbd_uri *uri)
{
    struct bench_session session;
    struct error err = { .text = "" };
    int result = bench_session_open(&session, options, uri, &err);

    if (result == 0)
        result = measure(&session, &err);
    bench_session_close(&session);
    if (result != 0)
        log_error("%s", err.text);
    return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int check_history(const struct bench_options *options, const struct nbd_uri *uri)
{
    struct error err = { .text = "" };

    if (uri->tls) {
        log_error("--check-history speaks in the clear");
        return EXIT_USAGE;
    }
    if (history_run(options, uri, &err) == 0)
        return EXIT_SUCCESS;
    log_error("%s", err.text);
    return EXIT_FAILURE;
}

static int parse_uri(struct nbd_uri *uri, const char *text, struct error *err)
{
    int result = nbd_uri_parse(uri, text, err);

    if (result == 0) {
        result = nbd_uri_check_tls(uri, err);
        if (result < 0)
            nbd_uri_free(uri);
    }
    if (result < 0)
        error_prefix(err, "'%.200s': ", text);
    return result;
}

int main(int argc, char **argv)
{
    struct bench_options options;
    struct nbd_uri uri;
    struct error err = { .text = "" };

    log_set_program("nbdcrypt-bench");
    int result = bench_options_parse(&options, argc, argv, &err);
    if (result == 0 && options.help) {
        bench_options_print_help(stdout);
        return EXIT_SUCCESS;
    }
    if (result == 0 && options.version) {
        printf("nbdcrypt-bench %s\n", PACKAGE_VERSION);
        return EXIT_SUCCESS;
    }
    if (result == 0)
        result = parse_uri(&uri, options.uri, &err);
    if (result != 0) {
        log_error("%s", err.text);
        return EXIT_USAGE;
    }
    int status;
    if (options.check_history) {
        status = check_history(&options, &uri);
    } else {
        load_block_signals();
        status = run(&options, &uri);
    }
    nbd_uri_free(&uri);
    return status;
}
