#include "server/serve/reload-config.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/base/log.h"
#include "server/board/board.h"
#include "server/export/limit-groups.h"
#include "server/serve/config-keys.h"
#include "server/serve/config-plan.h"
#include "server/serve/export-opening.h"
#include "server/serve/kept-settings.h"
#include "server/serve/limit-options.h"
#include "server/serve/serve-programs.h"
#include "server/serve/served-config.h"
#include "server/tls/tls.h"

#define DRAIN_SECONDS 60u
#define LOGGED_MAX 100u /* changes of a plan */
#define LOOK_AT_STOP_NS 50000000L

/* The change of the exports; freed by the last of the two who have it: this thread, and that of the
 * exports. */
struct reload_change {
    struct exports_change change;
    struct reload_config *config;
    struct serve_options *next, *before; /* in force when it is published, and until then */
    atomic_int fate;                     /* who comes first: it is made, or the server ends */
    sem_t answered;                      /* it is in force, or has failed */
    atomic_bool is_answered;             /* ... which orders what was answered before us */
    atomic_uint holders;
    bool is_published; /* for the thread of the exports */
    int code;
    struct error error;
    struct exports_addition *added, *altered;
    const char **removed;
    char **names; /* what `removed` points to; as many */
};

enum reload_fate { FATE_OPEN, FATE_MADE, FATE_GIVEN_UP };

/* In order of execution. */
static int read_files(struct reload_config *config, struct serve_options *next, struct error *err);
static void tell_plan(const struct config_plan *plan, const struct serve_options *next,
                      const struct reload_wish *wish);
static int check_groups(const struct reload_config *config, const struct serve_options *next,
                        struct error *err);
static int foresee(struct reload_config *config, const struct config_plan *plan,
                   struct serve_options *next, const struct reload_wish *wish, struct error *err);
static int carry_out(struct reload_config *config, const struct config_plan *plan,
                     struct serve_options *next, struct serve_options **before, struct error *err);

static const struct serve_options *current_of(const struct reload_config *config)
{
    return config->current != NULL ? config->current : config->first;
}

static void free_options(struct serve_options *options)
{
    if (options == NULL)
        return;
    serve_options_free(options);
    free(options);
}

static int no_memory(struct error *err)
{
    return error_no_memory(err, "for another configuration");
}

/* Those that are there now: how many a removal or another image would disconnect. */
static void count_clients(const struct reload_config *config, const struct export_set *set,
                          struct config_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct plan_item *item = &plan->items[i];
        const struct export *ex = NULL;

        if (item->section == NULL && item->before != PLAN_NONE)
            ex = export_set_named(set, item->name, strlen(item->name));
        if (ex != NULL)
            item->clients = board_export_connections(config->host->board, ex->place);
    }
}

/* What applications have recorded of exports is changed with their lock. */
static int compare(const struct reload_config *config, struct served_config *served,
                   struct config_plan *plan, const struct serve_options *next, struct error *err)
{
    const struct export_set *set = exports_lock(config->exports);
    int result = served_config_make(served, current_of(config), next, set, err);
    if (result == 0)
        result = config_plan_make(plan, &served->options, next, err);
    if (result == 0)
        count_clients(config, set, plan);
    exports_unlock(config->exports);
    return result;
}

int reload_config_run(struct reload_config *config, const struct reload_wish *wish,
                      struct error *err)
{
    struct serve_options *next = calloc(1, sizeof *next), *before = NULL;
    struct served_config served = { .kept_count = 0 };
    struct config_plan plan = { 0 };
    bool used = false;

    if (next == NULL)
        return no_memory(err);
    int result = read_files(config, next, err);
    if (result == 0)
        result = compare(config, &served, &plan, next, err);
    if (result == 0)
        tell_plan(&plan, next, wish);
    if (result == 0 && wish->dry_run)
        result = foresee(config, &plan, next, wish, err);
    if (result == 0 && !wish->dry_run) {
        result = config_plan_allow(&plan, wish->replace, wish->replace_count, err);
        if (result == 0)
            result = carry_out(config, &plan, next, &before, err);
        used = result == 0;
    }
    config_plan_free(&plan);
    served_config_free(&served);
    if (result < 0)
        config_keys_in_sentence(err, NULL);
    if (wish->dry_run)
        config_keys_in_sentence(wish->refused, NULL);
    /* Exports have their own copies, and TLS uses the new one. */
    free_options(used ? before : next);
    return result;
}

/* There is one configuration in a process. */
static pthread_mutex_t in_force = PTHREAD_MUTEX_INITIALIZER;

const struct serve_options *reload_config_lock(struct reload_config *config)
{
    pthread_mutex_lock(&in_force);
    return current_of(config);
}

void reload_config_unlock(struct reload_config *config)
{
    (void)config;
    pthread_mutex_unlock(&in_force);
}

void reload_config_free(struct reload_config *config)
{
    free_options(config->current);
    config->current = NULL;
}

/* ---- reading ---- */

/* All that is wrong is in the log; the first of it is the reason. */
static int read_files(struct reload_config *config, struct serve_options *next, struct error *err)
{
    int result = serve_options_parse(next, config->argc, config->argv, err);
    const struct config_problems *problems = &next->files.problems;

    if (result == 0 || problems->count == 0)
        return result;
    config_problems_log(problems);
    const struct config_problem *first = &problems->items[0];
    error_prefix(err, "%s:%u: %s; ", first->place.file != NULL ? first->place.file : "",
                 first->place.line, first->text);
    return result;
}

static bool needs_restart(const struct plan_item *item)
{
    return item->section != NULL && item->change > PARAM_LIVE;
}

/* A plan of thousands would push out of the log what others have to say; what needs a restart comes
 * last, and is always told. */
static void log_plan(const struct config_plan *plan, const struct serve_options *next)
{
    size_t untold = 0;

    for (size_t i = 0; i < plan->count; i++) {
        bool warns = needs_restart(&plan->items[i]);
        char *line = i < LOGGED_MAX || warns ? config_plan_line(plan, i, next) : NULL;

        untold += line == NULL;
        if (line != NULL)
            log_write(warns ? LOG_WARNING : LOG_NOTICE, "configuration: %s", line);
        free(line);
    }
    if (untold > 0)
        log_notice("configuration: and %zu more changes", untold);
}

static void tell_plan(const struct config_plan *plan, const struct serve_options *next,
                      const struct reload_wish *wish)
{
    for (size_t i = 0; i < plan->count && wish->change != NULL; i++)
        wish->change(wish->context, config_plan_json(plan, i, next));
    if (!wish->dry_run)
        log_plan(plan, next);
}

/* ---- the change ---- */

static void free_change(struct reload_change *reload)
{
    for (size_t i = 0; reload->names != NULL && i < reload->change.removed_count; i++)
        free(reload->names[i]);
    free(reload->names);
    free(reload->removed);
    free(reload->added);
    free(reload->altered);
    sem_destroy(&reload->answered);
    free(reload);
}

static void let_go(struct reload_change *reload)
{
    if (atomic_fetch_sub(&reload->holders, 1) == 1)
        free_change(reload);
}

/* On the thread of the exports, as the next ones. */
static bool about_to(struct exports_change *change)
{
    struct reload_change *reload = container_of(change, struct reload_change, change);
    int open = FATE_OPEN;

    if (!atomic_compare_exchange_strong(&reload->fate, &open, FATE_MADE))
        return false;
    reload_server_begin(&reload->config->server);
    pthread_mutex_lock(&in_force); /* with which others change them */
    limit_options_use(reload->next);
    pthread_mutex_unlock(&in_force);
    return true;
}

/* The opening may have taken long, and nbdcrypt ctl have put one into a group meanwhile. */
static int check_groups_again(struct exports_change *change)
{
    const struct reload_change *reload = container_of(change, struct reload_change, change);

    return check_groups(reload->config, reload->next, &change->error);
}

/* Who adds an export from now on goes on from the new configuration. */
static void published(struct exports_change *change)
{
    struct reload_change *reload = container_of(change, struct reload_change, change);

    pthread_mutex_lock(&in_force);
    reload->before = reload->config->current;
    reload->config->current = reload->next;
    pthread_mutex_unlock(&in_force);
    reload->is_published = true;
    atomic_store(&reload->is_answered, true);
    sem_post(&reload->answered);
}

static void done(struct exports_change *change)
{
    struct reload_change *reload = container_of(change, struct reload_change, change);

    if (!reload->is_published) {
        reload->code = change->code;
        reload->error = change->error;
        atomic_store(&reload->is_answered, true);
        sem_post(&reload->answered);
    }
    let_go(reload);
}

static struct reload_change *create_change(size_t count)
{
    struct reload_change *reload = calloc(1, sizeof *reload);

    if (reload == NULL)
        return NULL;
    sem_init(&reload->answered, 0, 0);
    atomic_init(&reload->holders, 2);
    reload->added = calloc(count + 1, sizeof *reload->added);
    reload->altered = calloc(count + 1, sizeof *reload->altered);
    reload->removed = calloc(count + 1, sizeof *reload->removed);
    reload->names = calloc(count + 1, sizeof *reload->names);
    reload->change = (struct exports_change){ .added = reload->added,
                                              .altered = reload->altered,
                                              .removed = reload->removed,
                                              .farewell = EXPORTS_DRAIN,
                                              .drain_seconds = DRAIN_SECONDS,
                                              .record = check_groups_again,
                                              .about_to = about_to,
                                              .published = published,
                                              .done = done };
    if (reload->added != NULL && reload->altered != NULL && reload->removed != NULL &&
        reload->names != NULL)
        return reload;
    free_change(reload);
    return NULL;
}

/* It has not been submitted. */
static void drop_change(struct reload_change *reload)
{
    for (size_t i = 0; i < reload->change.added_count; i++)
        kept_settings_free(reload->added[i].settings);
    for (size_t i = 0; i < reload->change.altered_count; i++)
        kept_settings_free(reload->altered[i].settings);
    free_change(reload);
}

static int keep(struct exports_addition *to, size_t *count, struct export_settings *settings,
                struct error *err)
{
    struct export_settings *kept = kept_settings_create(settings);

    if (kept == NULL)
        return no_memory(err);
    to[(*count)++] = (struct exports_addition){ kept, kept_settings_free };
    return 0;
}

static int remove_it(struct reload_change *reload, const char *name, struct error *err)
{
    size_t at = reload->change.removed_count;

    reload->names[at] = strdup(name);
    if (reload->names[at] == NULL)
        return no_memory(err);
    reload->removed[at] = reload->names[at];
    reload->change.removed_count++;
    return 0;
}

static int tell_place(const struct serve_options *next, size_t index, int result, struct error *err)
{
    const struct config_place *place = &next->export_places[index];

    if (result < 0 && place->file != NULL)
        error_prefix(err, "%s:%u: ", place->file, place->line);
    return result;
}

/* Keys that were given once, at the start, are not there any more, and nobody is at the terminal.
 */
static int check_opening(const struct export_settings *settings, struct error *err)
{
    if (!export_opens_in_order(settings))
        return 0;
    return error_set(err, -EINVAL,
                     "export '%s' can't be opened while the server runs: its image is opened at "
                     "the start only, or its key comes from the terminal, standard input or a "
                     "descriptor; restart the server",
                     settings->name);
}

/* What is served under that name, as the plan has it; nbdcrypt ctl may have removed it meanwhile.
 */
struct found {
    bool there, in_the_way;
    bool taken_over; /* from nbdcrypt ctl */
};

static struct found look_for(struct reload_config *config, const struct plan_item *item,
                             const struct export_settings *next)
{
    const struct export *ex = exports_find(exports_lock(config->exports), item->name);
    struct found found = { .there = ex != NULL && ex->settings->added == item->taken_over,
                           .taken_over = item->taken_over };

    if (found.there && next != NULL)
        found.in_the_way = export_is_open(ex) && strcmp(ex->settings->image, next->image) == 0 &&
                           !(ex->settings->options.read_only && next->options.read_only);
    exports_unlock(config->exports);
    return found;
}

static int check_replacing(const struct found *found, const char *name, struct error *err)
{
    if (!found->in_the_way)
        return 0;
    return error_set(
        err, -EBUSY,
        "export '%s' can't be opened anew while it has the same image in use itself: %s", name,
        found->taken_over ? "remove it with nbdcrypt ctl, and reload"
                          : "take it out of the configuration and reload, then put it in again and "
                            "reload");
}

/* Sections are no exports. */
static int add_item(struct reload_config *config, struct reload_change *reload,
                    const struct plan_item *item, struct serve_options *next, struct error *err)
{
    struct export_settings *settings =
        item->after != PLAN_NONE ? &next->exports[item->after] : NULL;
    bool replaced = item->change > PARAM_LIVE;
    struct exports_change *change = &reload->change;
    struct found found = look_for(config, item, settings);
    int result = 0;

    if (settings == NULL)
        return found.there ? remove_it(reload, item->name, err) : 0;
    /* That of an export which is open runs when it is resumed, or opened once more. */
    result = tell_place(next, item->after, serve_programs_check(settings, err), err);
    if (result < 0)
        return result;
    if (item->before != PLAN_NONE && !replaced && found.there)
        return keep(reload->altered, &change->altered_count, settings, err);
    if (item->before != PLAN_NONE && !replaced && export_opens_in_order(settings)) {
        log_warning("export '%s' was removed, and can only be opened at the start: it comes back "
                    "with that",
                    item->name);
        return 0;
    }
    if (item->before != PLAN_NONE && found.there) {
        result = check_replacing(&found, item->name, err);
        if (result == 0)
            result = remove_it(reload, item->name, err);
    }
    if (result == 0)
        result = tell_place(next, item->after, check_opening(settings, err), err);
    return result == 0 ? keep(reload->added, &change->added_count, settings, err) : result;
}

static int fill_change(struct reload_config *config, struct reload_change *reload,
                       const struct config_plan *plan, struct serve_options *next,
                       struct error *err)
{
    int result = 0;

    for (size_t i = 0; i < plan->count && result == 0; i++)
        if (plan->items[i].section == NULL)
            result = add_item(config, reload, &plan->items[i], next, err);
    return result;
}

/* -ESHUTDOWN when the server ends meanwhile: what is being opened then may never come back. */
static int wait_for_answer(struct reload_config *config, struct reload_change *reload,
                           struct error *err)
{
    for (;;) {
        struct timespec until;

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += LOOK_AT_STOP_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        int open = FATE_OPEN;

        if (sem_clockwait(&reload->answered, CLOCK_MONOTONIC, &until) == 0 &&
            atomic_load(&reload->is_answered))
            break;
        if (atomic_load(&config->stopped) &&
            atomic_compare_exchange_strong(&reload->fate, &open, FATE_GIVEN_UP))
            return error_set(err, -ESHUTDOWN, "the server is ending");
    }
    return reload->code == 0 ? 0 : error_set(err, reload->code, "%s", reload->error.text);
}

static int change_exports(struct reload_config *config, const struct config_plan *plan,
                          struct serve_options *next, struct serve_options **before,
                          struct error *err)
{
    struct reload_change *reload = create_change(plan->count);

    if (reload == NULL)
        return no_memory(err);
    int result = fill_change(config, reload, plan, next, err);
    if (result < 0) {
        drop_change(reload);
        return result;
    }
    reload->config = config;
    reload->next = next;
    reload->change.terms = &config->server.terms;
    exports_submit(config->exports, &reload->change);
    result = wait_for_answer(config, reload, err);
    *before = result == 0 ? reload->before : NULL;
    let_go(reload);
    return result;
}

/* Beside what nbdcrypt ctl has added meanwhile. */
static int check_names(const struct reload_config *config, struct reload_change *reload,
                       struct error *err)
{
    int result = exports_change_check(&reload->change, exports_lock(config->exports));

    exports_unlock(config->exports);
    return result == 0 ? 0 : error_set(err, result, "%s", reload->change.error.text);
}

static bool has_export(const struct serve_options *options, const char *name)
{
    for (size_t i = 0; i < options->export_count; i++)
        if (strcmp(options->exports[i].name, name) == 0)
            return true;
    return false;
}

/* It is one of that group by nbdcrypt ctl, and nothing that the reload says of it changes that. */
static bool stays_in_group(const struct export *ex, const char *group,
                           const struct serve_options *next)
{
    const char *configured = ex->settings->limit_group;

    if (ex->settings->added)
        return !has_export(next, ex->settings->name);
    return has_export(next, ex->settings->name) &&
           (configured == NULL || strcmp(configured, group) != 0);
}

/* No group goes that has an export. */
static int check_groups(const struct reload_config *config, const struct serve_options *next,
                        struct error *err)
{
    const struct export_set *set = exports_lock(config->exports);
    int result = 0;

    for (size_t i = 0; i < set->count && result == 0; i++) {
        const struct export *ex = set->exports[i];
        const struct limit_set *group = atomic_load(&ex->group);
        const char *name = group != NULL ? limit_group_name(group) : NULL;

        if (name != NULL && limit_options_named(next, name) == NULL &&
            stays_in_group(ex, name, next))
            result = error_set(err, -EBUSY,
                               "[limits %s] can't go: by nbdcrypt ctl export '%s' is in that "
                               "group: take it out first, with nbdcrypt ctl limits %s "
                               "limit-group=off",
                               name, ex->name, ex->name);
    }
    exports_unlock(config->exports);
    return result;
}

/* What would be refused before anything is opened goes to wish->refused: to see that is no failure.
 */
static int foresee(struct reload_config *config, const struct config_plan *plan,
                   struct serve_options *next, const struct reload_wish *wish, struct error *err)
{
    struct reload_change *reload = create_change(plan->count);
    struct tls_credentials *credentials;

    if (reload == NULL)
        return no_memory(err);
    int result = config_plan_allow(plan, wish->replace, wish->replace_count, wish->refused);
    if (result == 0)
        result = fill_change(config, reload, plan, next, wish->refused);
    if (result == 0)
        result = check_names(config, reload, wish->refused);
    if (result == 0)
        result = check_groups(config, next, wish->refused);
    if (result == 0)
        result = tls_prepare(&credentials, config->tls, &next->tls, wish->refused);
    if (result == 0)
        tls_forget(credentials);
    drop_change(reload);
    return 0;
}

/* What needs a restart is not what the file says until then, so that the next reload tells it
 * again. */
static int keep_what_runs(const struct reload_config *config, struct serve_options *next,
                          struct error *err)
{
    int result = 0;

    for (const struct param *row = serve_params; row->name != NULL && result == 0; row++)
        if (row->section != NULL && row->change == PARAM_RESTART)
            result = params_share(next, row, config->first);
    return result == 0 ? 0 : no_memory(err);
}

/* All that can fail comes before what is seen.  *before is what was in force, and the caller's to
 * free; NULL: that is what the server began with. */
static int carry_out(struct reload_config *config, const struct config_plan *plan,
                     struct serve_options *next, struct serve_options **before, struct error *err)
{
    int result = keep_what_runs(config, next, err);

    if (result == 0)
        result = check_groups(config, next, err);
    if (result == 0)
        result = limit_options_prepare(next, err);
    if (result == 0)
        result = reload_server_prepare(&config->server, config->host, next, err);
    if (result < 0)
        return result;
    result = change_exports(config, plan, next, before, err);
    if (result == 0)
        reload_server_end(&config->server, &config->stopped);
    else
        reload_server_undo(&config->server);
    return result;
}
