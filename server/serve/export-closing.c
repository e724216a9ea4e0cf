#include "server/serve/export-closing.h"

#include <stdlib.h>

#include "server/base/event.h"
#include "server/base/log-ids.h"
#include "server/base/log.h"
#include "server/base/threads.h"
#include "server/board/board-owner.h"

#define LOOP_ENTRIES 8u

static void flush_and_close(struct export_closing *closing, struct loop *loop)
{
    struct export *export = closing->export;

    closing->code = export_is_open(export) ? export_flush(export, loop, &closing->error) : 0;
    if (closing->code < 0)
        log_error("%s", closing->error.text);
    export_close(export);
    closing->closed = true;
}

static void *close_it(void *context)
{
    struct export_closing *closing = context;
    struct loop_config config = { .entries = LOOP_ENTRIES };
    struct loop *loop;

    thread_begin("nbdcrypt-close");
    if (loop_create(&loop, &config, &closing->error) == 0) {
        flush_and_close(closing, loop);
        loop_destroy(loop);
    }
    atomic_store(&closing->ended, true);
    sem_post(closing->wake);
    return NULL;
}

/* Nobody finds it any more. */
static void prepare(struct export_closing *closing, struct export *export,
                    const struct export_keepers *keepers)
{
    *closing = (struct export_closing){ .export = export,
                                        .settings = (struct export_settings *)export->settings,
                                        .free_settings = export->free_settings,
                                        .of_start = export->id <= keepers->opening->count };
    board_export_end(keepers->board, export->place);
    if (closing->of_start)
        export_retry_forget(keepers->retry, keepers->opening, (size_t) export->id - 1);
}

void export_closing_begin(struct export_closing *closing, struct export *export,
                          const struct export_keepers *keepers, sem_t *wake)
{
    log_export(LOG_NOTICE, LOG_ID_EXPORT_REMOVED, export->name,
               "export '%s' is removed: what was written is flushed, and its image closed",
               export->name);
    EVENT(.type = "export.removed", .export = export->name);
    prepare(closing, export, keepers);
    closing->wake = wake;
    closing->running = pthread_create(&closing->thread, NULL, close_it, closing) == 0;
}

bool export_closing_has_ended(const struct export_closing *closing)
{
    return !closing->running || atomic_load(&closing->ended);
}

int export_closing_end(struct export_closing *closing, struct loop *loop)
{
    if (closing->running)
        (void)pthread_join(closing->thread, NULL);
    closing->running = false;
    if (!closing->closed)
        flush_and_close(closing, loop);
    return closing->code;
}

void export_closing_free(struct export_closing *closing)
{
    if (closing->free_settings != NULL)
        closing->free_settings(closing->settings);
    if (!closing->of_start)
        free(closing->export);
}

int export_closing_flush(struct export *export, struct loop *loop)
{
    struct error err;
    int result = export_is_open(export) ? export_flush(export, loop, &err) : 0;

    if (result < 0)
        log_error("%s", err.text);
    return result;
}

void export_closing_now(struct export *export, const struct export_keepers *keepers)
{
    struct export_closing closing;

    prepare(&closing, export, keepers);
    export_close(export);
    export_closing_free(&closing);
}
