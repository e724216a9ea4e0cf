#include "server/metrics/status-warnings.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "server/audit/audit.h"
#include "server/base/spawner.h"
#include "server/base/tally.h"
#include "server/block/group-sync.h"
#include "server/control/control-json.h"
#include "server/control/varlink-message.h"
#include "server/tls/tls-expiry.h"

#define DAY_SECONDS 86400
#define EXPIRY_DAYS 21
#define CLIENTS_PERCENT 90u
#define WAIT_SECONDS 5u
#define SECOND_NS UINT64_C(1000000000)

static bool is_unsynced(const struct export *export)
{
    for (const struct stage *stage = export->top; stage != NULL; stage = stage->below)
        if (stage->sync != NULL && group_sync_error(stage->sync) != 0)
            return true;
    return false;
}

void status_troubles_of_export(struct status_troubles *troubles, const struct export *export)
{
    bool open = export_is_open(export);
    const struct stage *backend = open ? stage_backend(export->top) : NULL;

    if (!open && troubles->missing++ == 0)
        snprintf(troubles->first_missing, sizeof troubles->first_missing, "%s", export->name);
    if (open && atomic_load(&export->suspended))
        troubles->suspended++;
    if (open && backend->ops->is_lost != NULL && backend->ops->is_lost(backend) &&
        troubles->lost++ == 0)
        snprintf(troubles->first_lost, sizeof troubles->first_lost, "%s", export->name);
    if (open && is_unsynced(export) && troubles->unsynced++ == 0)
        snprintf(troubles->first_unsynced, sizeof troubles->first_unsynced, "%s", export->name);
}

void status_troubles_of_wait(struct status_troubles *troubles, const char *export, uint64_t ns)
{
    if (ns <= troubles->waits_ns)
        return;
    troubles->waits_ns = ns;
    snprintf(troubles->waits, sizeof troubles->waits, "%s", export);
}

static void warn(struct json_object *list, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void warn(struct json_object *list, const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    control_append(list, varlink_text(text));
}

static void warn_of_exports(struct json_object *list, const struct status_troubles *troubles)
{
    if (troubles->missing > 0)
        warn(list, "%u export%s can't be opened: '%s'%s", troubles->missing,
             troubles->missing == 1 ? "" : "s", troubles->first_missing,
             troubles->missing == 1 ? "" : " and others");
    if (troubles->lost > 0)
        warn(list, "The storage of %u export%s is not there: '%s'%s", troubles->lost,
             troubles->lost == 1 ? "" : "s", troubles->first_lost,
             troubles->lost == 1 ? "" : " and others");
    if (troubles->unsynced > 0)
        warn(list, "What was written to %u export%s is lost in part, and each FLUSH fails: '%s'%s",
             troubles->unsynced, troubles->unsynced == 1 ? "" : "s", troubles->first_unsynced,
             troubles->unsynced == 1 ? "" : " and others");
    if (troubles->waits_ns > WAIT_SECONDS * SECOND_NS)
        warn(list, "Storage has not answered a request of export '%s' for %llu s.", troubles->waits,
             (unsigned long long)(troubles->waits_ns / SECOND_NS));
    if (troubles->suspended > 0)
        warn(list, "%u export%s suspended: %s clients wait", troubles->suspended,
             troubles->suspended == 1 ? " is" : "s are",
             troubles->suspended == 1 ? "its" : "their");
}

static void warn_of_certificate(struct json_object *list, const char *what, time_t expiry)
{
    long long left = (long long)expiry - (long long)time(NULL);

    if (expiry <= 0 || left > EXPIRY_DAYS * DAY_SECONDS)
        return;
    if (left <= 0)
        warn(list, "%s is over.", what);
    else
        warn(list, "%s is good for %lld more day%s.", what, left / DAY_SECONDS,
             left / DAY_SECONDS == 1 ? "" : "s");
}

static void warn_of_certificates(struct json_object *list, struct tls *tls)
{
    struct tls_expiry expiry;

    tls_expiry_of(&expiry, tls);
    warn_of_certificate(list, "The certificate of this server", expiry.server);
    warn_of_certificate(list, "The certificate of the CA of the clients", expiry.ca);
    warn_of_certificate(list, "The list of revoked certificates", expiry.crl);
}

static void warn_of_workers(struct json_object *list, const struct board *board)
{
    for (unsigned i = 0; i < board_workers(board); i++) {
        struct board_worker worker;

        board_read_worker(board, i, &worker);
        uint64_t stall_ns = board_worker_stall_ns(&worker, board_now_ns());
        if (stall_ns > SECOND_NS)
            warn(list, "Worker %u has not answered for %llu s.", i,
                 (unsigned long long)(stall_ns / SECOND_NS));
        if (worker.parked > 0)
            warn(list, "%u client%s of worker %u wait%s for memory (--memory-max).", worker.parked,
                 worker.parked == 1 ? "" : "s", i, worker.parked == 1 ? "s" : "");
    }
}

static void warn_of_audit(struct json_object *list)
{
    struct audit_state audit;

    audit_describe(&audit);
    if (audit.failing)
        warn(list, "The audit log can't be written, or its storage does not answer.");
    if (audit.lost > 0)
        warn(list, "%llu records of the audit log are lost.", (unsigned long long)audit.lost);
    if (audit.doubtful > 0)
        warn(list, "%llu records of the audit log may not be durable.",
             (unsigned long long)audit.doubtful);
}

struct json_object *status_warnings(const struct metrics_source *source,
                                    const struct status_troubles *troubles)
{
    struct json_object *list = json_object_new_array();
    unsigned attached = atomic_load(&source->places->attached);

    warn_of_workers(list, source->board);
    warn_of_exports(list, troubles);
    warn_of_audit(list);
    warn_of_certificates(list, source->tls);
    if (tally_get(TALLY_RELOAD_FAILED))
        warn(list, "The last reload failed, and what was before it is in force.");
    if (attached >= source->places->attached_max / 100.0 * CLIENTS_PERCENT)
        warn(list, "%u of %u clients are attached (--max-connections).", attached,
             source->places->attached_max);
    if (spawner_is_gone())
        warn(list, "The processes that start programs have ended: no key-command can be asked "
                   "before the server is started again.");
    if (board_lost(source->board) > 0)
        warn(list, "There was no room to tell all of what happens: figures lack something.");
    return list;
}
