#include "server/serve/serve-log.h"

#include <stdlib.h>

#include "server/audit/audit.h"
#include "server/base/log-level.h"
#include "server/base/log-service.h"

#define LAST_MS 1000u

bool serve_log_is_brought_along(const struct serve_options *options)
{
    return options->run != NULL ||
           (getenv("LISTEN_FDS") != NULL && getenv("NOTIFY_SOCKET") == NULL &&
            getenv("JOURNAL_STREAM") == NULL);
}

enum log_level serve_log_level(const struct serve_options *options)
{
    enum log_level level;

    if (options->verbose > 0)
        return options->verbose > 1 ? LOG_DEBUG : LOG_INFO;
    if (options->log_level != NULL && log_level_of(&level, options->log_level))
        return level;
    return serve_log_is_brought_along(options) ? LOG_WARNING : LOG_NOTICE;
}

int serve_log_start(struct error *err)
{
    return log_service_start(err);
}

void serve_log_drain(void)
{
    audit_stop(LAST_MS);
    log_service_drain(LAST_MS);
}

void serve_log_stop(void)
{
    audit_stop(LAST_MS);
    log_service_stop(LAST_MS);
}
