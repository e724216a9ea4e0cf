#include "server/control/control-level.h"

#include <stdlib.h>
#include <string.h>

#include "server/base/log-exports.h"
#include "server/control/control-internal.h"

#define SECONDS_MAX 86400
#define LEVELS (LOG_DEBUG + 1)

static const char *const names[] = { [LOG_ERROR] = "error",
                                     [LOG_WARNING] = "warning",
                                     [LOG_NOTICE] = "notice",
                                     [LOG_INFO] = "info",
                                     [LOG_DEBUG] = "debug" };

/* -1: there is none of that name. */
static int level_of(const char *name)
{
    for (int level = 0; level < LEVELS; level++)
        if (strcmp(names[level], name) == 0)
            return level;
    return -1;
}

/* The clock may be about to tick: one more, so that it lasts as long as was asked for. */
static unsigned ticks(int64_t seconds)
{
    return seconds > 0 ? (unsigned)seconds + 1 : 0;
}

static void set_for_all(struct control_client *client, int level, int64_t seconds)
{
    struct control *control = client->control;

    if (seconds == 0)
        control->usual_log_level = (enum log_level)level;
    control->log_level = (enum log_level)level;
    control->log_seconds = ticks(seconds);
    log_set_level(control->log_level);
    control_need_clock(control);
    control_changed(client, NULL);
}

/* ---- of an export ---- */

static struct control_level *place_of(struct control *control, const char *export)
{
    for (unsigned i = 0; i < LOG_EXPORTS_MAX; i++) {
        const char *name = control->levels[i].export;

        if (export == NULL ? name == NULL : name != NULL && strcmp(name, export) == 0)
            return &control->levels[i];
    }
    return NULL;
}

static void forget(struct control_level *level)
{
    log_exports_unset(level->export);
    free(level->export);
    *level = (struct control_level){ 0 };
}

static bool is_there(const struct control *control, const char *export)
{
    const struct control_host *host = &control->host;
    const struct export_set *set = host->lock(host->context);
    const struct export *found = export_set_named(set, export, strlen(export));
    bool there = found != NULL && strcmp(found->name, export) == 0;

    host->unlock(host->context);
    return there;
}

/* False: there is no room, or no memory. */
static bool remember(struct control *control, const char *export, int level, int64_t seconds)
{
    struct control_level *place = place_of(control, export);
    char *name = place == NULL ? strdup(export) : NULL;

    if (place == NULL && name != NULL)
        place = place_of(control, NULL);
    if (place == NULL || !log_exports_set(export, level)) {
        free(name);
        return false;
    }
    if (name != NULL)
        place->export = name;
    place->level = (enum log_level)level;
    place->seconds = ticks(seconds);
    return true;
}

static void set_for_export(struct control_client *client, const char *export, int level,
                           int64_t seconds)
{
    struct control *control = client->control;
    struct control_level *old = place_of(control, export);

    if (old == NULL && !is_there(control, export)) {
        control_error(client, CONTROL_NO_SUCH_EXPORT, "name", export);
        return;
    }
    if (level < 0 && old != NULL) {
        forget(old);
    } else if (level >= 0 && !remember(control, export, level, seconds)) {
        control_error(client, CONTROL_NOT_POSSIBLE, "reason",
                      "as many exports as may be have a level of the log of their own (32)");
        return;
    }
    control_need_clock(control);
    control_changed(client, NULL);
}

void control_level_set(struct control_client *client)
{
    struct json_object *parameters = client->varlink.call.parameters;
    const char *name = control_text(parameters, "level");
    const char *export = control_text(parameters, "export");
    int64_t seconds = control_number(parameters, "seconds", 0);
    bool usual = export != NULL && strcmp(name, "usual") == 0;
    int level = level_of(name);

    if ((level < 0 && !usual) || seconds < 0 || seconds > SECONDS_MAX)
        control_refuse(client, level < 0 && !usual ? "level" : "seconds");
    else if (export != NULL)
        set_for_export(client, export, level, seconds);
    else
        set_for_all(client, level, seconds);
}

/* ---- the time is over ---- */

static void count_down(struct control *control)
{
    if (control->log_seconds == 0 || --control->log_seconds > 0)
        return;
    control->log_level = control->usual_log_level;
    log_set_level(control->log_level);
    log_notice("control: the time of the other log level is over: the usual one is in force again");
}

static void count_down_export(struct control_level *level)
{
    if (level->seconds == 0 || --level->seconds > 0)
        return;
    log_notice("control: the time of the other log level of export '%s' is over: the usual one is "
               "in force again",
               level->export);
    forget(level);
}

bool control_level_tick(struct control *control)
{
    bool again;

    count_down(control);
    again = control->log_seconds > 0;
    for (unsigned i = 0; i < LOG_EXPORTS_MAX; i++) {
        count_down_export(&control->levels[i]);
        again |= control->levels[i].seconds > 0;
    }
    return again;
}

void control_level_describe(struct json_object *to, const struct control *control)
{
    struct json_object *exports = json_object_new_object();

    control_add_text(to, "log_level", names[control->log_level]);
    for (unsigned i = 0; i < LOG_EXPORTS_MAX; i++)
        if (control->levels[i].export != NULL)
            control_add_text(exports, control->levels[i].export, names[control->levels[i].level]);
    control_add(to, "log_exports", exports);
}

void control_level_free(struct control *control)
{
    for (unsigned i = 0; i < LOG_EXPORTS_MAX; i++)
        if (control->levels[i].export != NULL)
            forget(&control->levels[i]);
}
