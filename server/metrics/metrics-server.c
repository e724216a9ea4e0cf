#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "server/metrics/metrics-server.h"

#include <time.h>

#include "crypto/gcm/gcm-choose.h"
#include "server/audit/audit.h"
#include "server/base/tally.h"
#include "server/metrics/metrics-exports.h"
#include "server/tls/tls-expiry.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

struct label {
    const char *text;
    enum tally tally;
};

/* A counter of several labels. */
static void put_tallies(struct metrics_text *text, const char *name, const char *help,
                        const struct label *labels, size_t count)
{
    char full[64];

    snprintf(full, sizeof full, "nbdcrypt_%s", name);
    metrics_family(text, METRICS_COUNTER, full, help);
    for (size_t i = 0; i < count; i++) {
        metrics_put(text, "nbdcrypt_%s_total%s", name, labels[i].text);
        metrics_put_count(text, tally_get(labels[i].tally));
    }
}

#define PUT_TALLIES(text, name, help, labels) \
    put_tallies(text, name, help, labels, sizeof(labels) / sizeof(labels)[0])

static void put_gauge(struct metrics_text *text, const char *name, const char *help, uint64_t value)
{
    metrics_family(text, METRICS_GAUGE, name, help);
    metrics_put(text, "%s", name);
    metrics_put_count(text, value);
}

/* ---- clients ---- */

static void put_clients(struct metrics_text *text)
{
    static const struct label attached[] = {
        { "{transport=\"tcp\",tls=\"no\"}", TALLY_ATTACHED },
        { "{transport=\"tcp\",tls=\"yes\"}", TALLY_ATTACHED_TLS },
        { "{transport=\"unix\",tls=\"no\"}", TALLY_ATTACHED_UNIX },
        { "{transport=\"unix\",tls=\"yes\"}", TALLY_ATTACHED_UNIX_TLS },
    };
    static const struct label rejected[] = {
        { "{reason=\"limit\"}", TALLY_REJECTED_LIMIT },
        { "{reason=\"tls\"}", TALLY_REJECTED_TLS },
        { "{reason=\"access\"}", TALLY_REJECTED_ACCESS },
        { "{reason=\"name\"}", TALLY_REJECTED_NAME },
        { "{reason=\"timeout\"}", TALLY_REJECTED_TIMEOUT },
        { "{reason=\"protocol\"}", TALLY_REJECTED_PROTOCOL },
        { "{reason=\"audit\"}", TALLY_REJECTED_AUDIT },
    };

    PUT_TALLIES(text, "connections_attached", "Clients that have attached an export.", attached);
    PUT_TALLIES(text, "connections_rejected", "Clients that were sent away, by the reason.",
                rejected);
}

static void put_handshakes(struct metrics_text *text, const struct board *board)
{
    metrics_family(text, METRICS_HISTOGRAM, "nbdcrypt_handshake_duration_seconds",
                   "From the arrival of a client to its export.");
    for (int tls = 0; tls < 2; tls++) {
        struct board_histogram durations;
        struct metrics_histogram shown;

        board_read_handshakes(board, tls, &durations);
        metrics_histogram_of(&shown, &durations);
        metrics_put_histogram(text, "handshake_duration_seconds",
                              tls ? "tls=\"yes\"," : "tls=\"no\",", &shown);
    }
}

/* ---- TLS ---- */

static void put_expiry(struct metrics_text *text, const char *role, time_t time)
{
    if (time <= 0)
        return;
    metrics_put(text, "nbdcrypt_tls_certificate_expiry_timestamp_seconds{role=\"%s\"}", role);
    metrics_put_count(text, (uint64_t)time);
}

static void put_certificates(struct metrics_text *text, struct tls *tls)
{
    struct tls_expiry expiry;

    tls_expiry_of(&expiry, tls);
    metrics_family(text, METRICS_GAUGE, "nbdcrypt_tls_certificate_expiry_timestamp_seconds",
                   "When the first of these certificates is over, in seconds since 1970.");
    put_expiry(text, "server", expiry.server);
    put_expiry(text, "ca", expiry.ca);
    put_expiry(text, "crl", expiry.crl);
}

static void put_sessions(struct metrics_text *text, const struct board *board)
{
    static const struct label handshakes[] = {
        { "{result=\"success\"}", TALLY_TLS_HANDSHAKES },
        { "{result=\"failure\"}", TALLY_TLS_HANDSHAKES_FAILED },
    };
    static const struct label sessions[] = {
        { "{by=\"nbdcrypt\"}", TALLY_TLS_BY_US },
        { "{by=\"kernel\"}", TALLY_TLS_BY_KERNEL },
        { "{by=\"gnutls\"}", TALLY_TLS_BY_GNUTLS },
    };
    static const struct label updates[] = {
        { "{by=\"peer\"}", TALLY_TLS_KEY_UPDATES_BY_PEER },
        { "{by=\"nbdcrypt\"}", TALLY_TLS_KEY_UPDATES_BY_US },
    };
    struct board_histogram durations;
    struct metrics_histogram shown;

    PUT_TALLIES(text, "tls_handshakes", "Handshakes of TLS that have ended.", handshakes);
    metrics_family(text, METRICS_HISTOGRAM, "nbdcrypt_tls_handshake_duration_seconds",
                   "How long those took that succeeded.");
    board_read_tls_handshakes(board, &durations);
    metrics_histogram_of(&shown, &durations);
    metrics_put_histogram(text, "tls_handshake_duration_seconds", "", &shown);
    PUT_TALLIES(text, "tls_sessions", "Sessions that were opened, by what encrypts them.",
                sessions);
    PUT_TALLIES(text, "tls_key_updates", "New keys within sessions, by who changed them.", updates);
}

/* ---- the whole ---- */

static void put_reloads(struct metrics_text *text)
{
    static const struct label reloads[] = {
        { "{result=\"success\"}", TALLY_RELOADS },
        { "{result=\"failure\"}", TALLY_RELOADS_FAILED },
    };

    PUT_TALLIES(text, "config_reloads", "How often files were read again.", reloads);
    put_gauge(text, "nbdcrypt_config_last_reload_successful",
              "Whether the last reload succeeded; 1 before the first.",
              !tally_get(TALLY_RELOAD_FAILED));
    put_gauge(text, "nbdcrypt_config_last_reload_success_timestamp_seconds",
              "When the last one succeeded, in seconds since 1970; 0: none has.",
              tally_get(TALLY_RELOAD_SECONDS));
}

static void put_others(struct metrics_text *text)
{
    static const struct label reports[] = {
        { "{reason=\"asked\"}", TALLY_REPORTS_ASKED },
        { "{reason=\"stall\"}", TALLY_REPORTS_STALL },
        { "{reason=\"hung\"}", TALLY_REPORTS_HUNG },
        { "{reason=\"unexpected\"}", TALLY_REPORTS_UNEXPECTED },
    };
    static const struct label records[] = { { "", TALLY_AUDIT_RECORDS } };
    static const struct label unwritten[] = { { "", TALLY_AUDIT_LOST } };
    static const struct label doubtful[] = { { "", TALLY_AUDIT_DOUBTFUL } };
    static const struct label lost[] = { { "", TALLY_BACKENDS_LOST } };
    static const struct label back[] = { { "", TALLY_BACKENDS_BACK } };
    static const struct label lines[] = {
        { "{level=\"error\"}", TALLY_LOG_LINES },
        { "{level=\"warning\"}", TALLY_LOG_LINES + 1 },
        { "{level=\"notice\"}", TALLY_LOG_LINES + 2 },
        { "{level=\"info\"}", TALLY_LOG_LINES + 3 },
        { "{level=\"debug\"}", TALLY_LOG_LINES + 4 },
    };
    struct audit_state audit;

    audit_describe(&audit);
    PUT_TALLIES(text, "reports", "Reports of trouble that were written, by what made them.",
                reports);
    PUT_TALLIES(text, "audit_records", "Records of the audit log that were written.", records);
    PUT_TALLIES(text, "audit_lost", "Those that could not be written.", unwritten);
    PUT_TALLIES(text, "audit_doubtful", "Those that were written, and may not be durable.",
                doubtful);
    put_gauge(text, "nbdcrypt_audit_failing", "1 while the audit log can't be written.",
              audit.failing);
    PUT_TALLIES(text, "backend_losses", "Connections to storage that were lost.", lost);
    PUT_TALLIES(text, "backend_reconnects", "Connections to storage that were made again.", back);
    PUT_TALLIES(text, "log_messages", "Messages, whether they are written or not.", lines);
}

void metrics_put_server(struct metrics_text *text, const struct metrics_source *source)
{
    const struct gcm_ops *gcm = gcm_choose();
    uint64_t start_ns = board_realtime_ns(source->board, board_since_ns(source->board));

    metrics_family(text, METRICS_GAUGE, "nbdcrypt_build_info", "The program.");
    metrics_put(text, "nbdcrypt_build_info{version=\"%s\",gcm=\"%s\"} 1\n", PACKAGE_VERSION,
                gcm != NULL ? gcm->name : "gnutls");
    metrics_family(text, METRICS_GAUGE, "nbdcrypt_start_time_seconds",
                   "When the server was started, in seconds since 1970.");
    metrics_put(text, "nbdcrypt_start_time_seconds");
    metrics_put_seconds(text, start_ns);
    put_gauge(text, "nbdcrypt_connections_max", "So many clients may be attached.",
              source->places->attached_max);
    put_gauge(text, "nbdcrypt_handshakes", "Clients that have not chosen an export yet.",
              atomic_load(&source->places->handshakes));
    put_clients(text);
    put_handshakes(text, source->board);
    put_sessions(text, source->board);
    put_certificates(text, source->tls);
    put_reloads(text);
    put_others(text);
    put_gauge(text, "nbdcrypt_board_lost_rows", "What metrics had no room for; 0 if all is well.",
              board_lost(source->board));
}

/* ---- workers ---- */

/* The clock of another thread: CPUCLOCK_SCHED of its id, as pthread_getcpuclockid(3) makes it. */
uint64_t metrics_worker_busy_ns(const struct board_worker *worker)
{
    clockid_t clock = (clockid_t)((~(unsigned)worker->tid << 3) | 6);
    struct timespec busy;

    if (worker->tid == 0 || clock_gettime(clock, &busy) != 0)
        return 0;
    return (uint64_t)busy.tv_sec * 1000000000u + (uint64_t)busy.tv_nsec;
}

static uint64_t stall_ns(const struct board_worker *worker)
{
    return board_worker_stall_ns(worker, board_now_ns());
}

static void put_of_workers(struct metrics_text *text, const struct board *board,
                           enum metrics_type type, const char *name, const char *help,
                           uint64_t (*ns)(const struct board_worker *worker))
{
    metrics_family(text, type, name, help);
    for (unsigned i = 0; i < board_workers(board); i++) {
        struct board_worker worker;

        board_read_worker(board, i, &worker);
        metrics_put(text, "%s%s{worker=\"%u\"}", name, type == METRICS_COUNTER ? "_total" : "", i);
        metrics_put_seconds(text, ns(&worker));
    }
}

static void put_counts_of_workers(struct metrics_text *text, const struct board *board)
{
    static const struct {
        const char *name, *help;
    } gauges[] = {
        { "nbdcrypt_worker_parked", "Clients that wait for memory." },
        { "nbdcrypt_worker_connections", "Clients that it serves." },
        { "nbdcrypt_worker_buffers_bytes", "Data buffers in use." },
    };

    for (unsigned gauge = 0; gauge < 3; gauge++) {
        metrics_family(text, METRICS_GAUGE, gauges[gauge].name, gauges[gauge].help);
        for (unsigned i = 0; i < board_workers(board); i++) {
            struct board_worker worker;

            board_read_worker(board, i, &worker);
            metrics_put(text, "%s{worker=\"%u\"}", gauges[gauge].name, i);
            metrics_put_count(text, gauge == 0   ? worker.parked
                                    : gauge == 1 ? worker.connections
                                                 : worker.buffers_bytes);
        }
    }
}

void metrics_put_workers(struct metrics_text *text, const struct metrics_source *source)
{
    put_of_workers(text, source->board, METRICS_COUNTER, "nbdcrypt_worker_busy_seconds",
                   "CPU time of a worker thread.", metrics_worker_busy_ns);
    put_of_workers(text, source->board, METRICS_GAUGE, "nbdcrypt_worker_stall_seconds",
                   "For how long it has been at one batch of work; 0 while it waits for some.",
                   stall_ns);
    put_counts_of_workers(text, source->board);
}
