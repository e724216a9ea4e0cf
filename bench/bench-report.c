#include "bench/bench-report.h"

#include <inttypes.h>

#include "server/base/size-text.h"
#include "server/base/utf8.h"

static double seconds_of(uint64_t ns)
{
    return (double)ns / 1e9;
}

static double per(double amount, double of)
{
    return of > 0 ? amount / of : 0;
}

static const char *pattern_name(enum workload_pattern pattern)
{
    static const char *const names[] = {
        [WORKLOAD_SEQUENTIAL] = "sequential",
        [WORKLOAD_RANDOM] = "random",
        [WORKLOAD_ZIPF] = "zipf",
    };

    return names[pattern];
}

/* ---- table ---- */

static void print_export(FILE *out, const struct bench_report *report)
{
    fprintf(out, "%s: export '%s' of %s, %s replies%s\n", report->options->uri, report->export_name,
            size_text(report->info->size_bytes).text,
            report->info->extended_headers     ? "extended"
            : report->info->structured_replies ? "structured"
                                               : "simple",
            report->options->libnbd ? ", client libnbd" : "");
}

static void print_job(FILE *out, const struct bench_report *report)
{
    const struct bench_options *options = report->options;
    const struct workload_config *workload = report->workload;

    fprintf(out, "%u connection%s x depth %u, %u thread%s, %s", options->connections,
            options->connections == 1 ? "" : "s", options->depth, options->threads,
            options->threads == 1 ? "" : "s", pattern_name(workload->pattern));
    if (workload->pattern == WORKLOAD_ZIPF)
        fprintf(out, " (theta %g)", workload->theta);
    fprintf(out, ", block %s", size_text(workload->block_min_bytes).text);
    if (workload->block_max_bytes != workload->block_min_bytes)
        fprintf(out, " to %s", size_text(workload->block_max_bytes).text);
    for (unsigned i = 0; i < WORKLOAD_COMMANDS; i++) {
        if (workload->percent[i] > 0)
            fprintf(out, ", %u %% %s", workload->percent[i],
                    workload_command_name((enum workload_command)i));
    }
    fprintf(out, ", %.3f s\n", seconds_of(report->result->elapsed_ns));
}

static void print_row(FILE *out, const char *name, const struct load_command_result *row,
                      uint64_t elapsed_ns)
{
    double seconds = seconds_of(elapsed_ns);

    fprintf(out, "%-7s %11" PRIu64 " %10.0f %9.1f %10.1f %10.1f %10.1f %10.1f\n", name,
            row->requests, per((double)row->requests, seconds),
            per((double)row->bytes, seconds) / 1e6,
            (double)histogram_quantile(&row->latency, 0.5) / 1e3,
            (double)histogram_quantile(&row->latency, 0.99) / 1e3,
            (double)histogram_quantile(&row->latency, 0.999) / 1e3, (double)row->latency.max / 1e3);
}

static void print_rows(FILE *out, const struct load_result *result)
{
    unsigned rows = 0;

    fprintf(out, "\n%-7s %11s %10s %9s %10s %10s %10s %10s\n", "", "requests", "IOPS", "MB/s",
            "p50 us", "p99 us", "p99.9 us", "max us");
    for (unsigned i = 0; i < WORKLOAD_COMMANDS; i++) {
        if (result->commands[i].requests == 0)
            continue;
        print_row(out, workload_command_name((enum workload_command)i), &result->commands[i],
                  result->elapsed_ns);
        rows++;
    }
    if (rows != 1)
        print_row(out, "total", &result->total, result->elapsed_ns);
}

static void print_cpu_row(FILE *out, const char *name, uint64_t cpu_ns,
                          const struct load_result *result)
{
    fprintf(out, "%-7s %11.3f %10.1f %9.1f %10.0f\n", name, seconds_of(cpu_ns),
            per(100 * (double)cpu_ns, (double)result->elapsed_ns),
            per((double)cpu_ns, (double)result->total.bytes / 1024),
            per((double)cpu_ns, (double)result->total.requests));
}

static void print_cpu(FILE *out, const struct load_result *result)
{
    fprintf(out, "\n%-7s %11s %10s %9s %10s\n", "CPU", "seconds", "% of one", "ns/KiB",
            "ns/request");
    if (result->has_server_cpu)
        print_cpu_row(out, "server", result->server_cpu_ns, result);
    print_cpu_row(out, "bench", result->own_cpu_ns, result);
}

void bench_report_table(FILE *out, const struct bench_report *report)
{
    print_export(out, report);
    print_job(out, report);
    print_rows(out, report->result);
    print_cpu(out, report->result);
    if (report->verify != NULL)
        fprintf(out,
                "\nverified: %" PRIu64 " cells of %u bytes were compared, %" PRIu64
                " were wrong (seed %" PRIu64 ")\n",
                report->verify->cells_checked, CELL_BYTES, report->verify->cells_faulty,
                report->verify->seed);
}

/* ---- JSON ---- */

/* RFC 8259, section 7.  What is not ASCII is UTF-8 already where it comes from a server that
 * keeps to the protocol, and from the command line. */
static void print_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;

        if (byte == '"' || byte == '\\')
            fprintf(out, "\\%c", byte);
        else if (utf8_is_control((char)byte))
            fprintf(out, "\\u%04x", byte);
        else
            fputc(byte, out);
    }
    fputc('"', out);
}

static void json_export(FILE *out, const struct bench_report *report)
{
    fprintf(out, "  \"uri\": ");
    print_string(out, report->options->uri);
    fprintf(out, ",\n  \"export\": { \"name\": ");
    print_string(out, report->export_name);
    fprintf(out,
            ", \"size_bytes\": %" PRIu64
            ", \"structured_replies\": %s, \"extended_headers\": %s },\n",
            report->info->size_bytes, report->info->structured_replies ? "true" : "false",
            report->info->extended_headers ? "true" : "false");
}

static void json_job(FILE *out, const struct bench_report *report)
{
    const struct bench_options *options = report->options;
    const struct workload_config *workload = report->workload;

    fprintf(out, "  \"job\": { \"connections\": %u, \"depth\": %u, \"threads\": %u, ",
            options->connections, options->depth, options->threads);
    fprintf(out, "\"client\": \"%s\", ", options->libnbd ? "libnbd" : "own");
    fprintf(out, "\"block_min_bytes\": %u, \"block_max_bytes\": %u, \"pattern\": \"%s\", ",
            workload->block_min_bytes, workload->block_max_bytes, pattern_name(workload->pattern));
    if (workload->pattern == WORKLOAD_ZIPF)
        fprintf(out, "\"theta\": %g, ", workload->theta);
    for (unsigned i = 0; i < WORKLOAD_COMMANDS; i++)
        fprintf(out, "\"%s_percent\": %u, ", workload_command_name((enum workload_command)i),
                workload->percent[i]);
    fprintf(out,
            "\"offset_bytes\": %" PRIu64 ", \"size_bytes\": %" PRIu64 ", \"seed\": %" PRIu64
            ", \"warm_up_s\": %g },\n",
            workload->area_offset_bytes, workload->area_bytes, workload->seed,
            (double)options->warm_up_ms / 1e3);
}

static void json_command(FILE *out, const char *name, const struct load_command_result *row,
                         uint64_t elapsed_ns)
{
    double seconds = seconds_of(elapsed_ns);

    fprintf(out,
            "  \"%s\": { \"requests\": %" PRIu64 ", \"bytes\": %" PRIu64
            ", \"iops\": %.3f, \"bytes_per_second\": %.3f, ",
            name, row->requests, row->bytes, per((double)row->requests, seconds),
            per((double)row->bytes, seconds));
    fprintf(out,
            "\"latency_ns\": { \"mean\": %.0f, \"p50\": %" PRIu64 ", \"p99\": %" PRIu64
            ", \"p99.9\": %" PRIu64 ", \"max\": %" PRIu64 " } },\n",
            histogram_mean(&row->latency), histogram_quantile(&row->latency, 0.5),
            histogram_quantile(&row->latency, 0.99), histogram_quantile(&row->latency, 0.999),
            row->latency.max);
}

static void json_cpu(FILE *out, const char *name, uint64_t cpu_ns, const struct load_result *result,
                     const char *end)
{
    fprintf(out,
            "  \"%s\": { \"ns\": %" PRIu64 ", \"ns_per_kib\": %.3f, \"ns_per_request\": %.3f }%s\n",
            name, cpu_ns, per((double)cpu_ns, (double)result->total.bytes / 1024),
            per((double)cpu_ns, (double)result->total.requests), end);
}

void bench_report_json(FILE *out, const struct bench_report *report)
{
    const struct load_result *result = report->result;

    fprintf(out, "{\n");
    json_export(out, report);
    json_job(out, report);
    fprintf(out, "  \"elapsed_ns\": %" PRIu64 ",\n", result->elapsed_ns);
    fprintf(out, "  \"interrupted\": %s,\n", result->interrupted ? "true" : "false");
    for (unsigned i = 0; i < WORKLOAD_COMMANDS; i++)
        json_command(out, workload_command_name((enum workload_command)i), &result->commands[i],
                     result->elapsed_ns);
    json_command(out, "total", &result->total, result->elapsed_ns);
    if (result->has_server_cpu)
        json_cpu(out, "server_cpu", result->server_cpu_ns, result, ",");
    if (report->verify != NULL)
        fprintf(out,
                "  \"verify\": { \"cells_checked\": %" PRIu64 ", \"cells_wrong\": %" PRIu64
                ", \"seed\": %" PRIu64 " },\n",
                report->verify->cells_checked, report->verify->cells_faulty, report->verify->seed);
    json_cpu(out, "bench_cpu", result->own_cpu_ns, result, "");
    fprintf(out, "}\n");
}
