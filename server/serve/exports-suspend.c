#include "server/serve/exports-suspend.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/luks/luks-keyslot.h"
#include "server/base/event.h"
#include "server/base/log-ids.h"
#include "server/base/log.h"
#include "server/block/luks-layer.h"
#include "server/client/channel.h"
#include "server/serve/errand.h"
#include "server/serve/kept-settings.h"
#include "server/volume/volume-header.h"
#include "server/volume/volume-key.h"

#define HEADER_SECONDS 2u /* how much longer a key may be in memory for a look at its header */

/* ---- what storage and others are asked, on a thread of its own ---- */

struct key_errand {
    struct errand errand;
    struct export *export;            /* visited */
    struct export_settings *settings; /* a copy */
    struct key_source source;         /* its strings are those of the copy, its descriptor ours */
    bool reads_key;
    int code;
    struct error error;
    struct luks_header *header;
    struct secret *key;
};

/* One change of a key, under way. */
struct key_change {
    struct key_change *next;
    struct exports_change *change;
    struct export *export; /* visited */
    struct key_terms terms;
    enum { KEY_STOPS, KEY_IS_READ, KEY_GOES_ON, KEY_STOPS_AGAIN } step;
    struct worker_round *round;
    bool answered;             /* it is not waited for */
    struct key_errand *errand; /* NULL: it has ended, or was left */
};

/* As it is on the storage now. */
static int load_header(struct key_errand *asked)
{
    const struct export_settings *settings = asked->settings;
    int code = volume_header_load(&asked->header, luks_stage_image(asked->export->top),
                                  settings->header, NULL, &asked->error);

    if (code < 0)
        error_prefix(&asked->error, "image '%s': ", settings->image);
    return code;
}

/* Keyslots may have been changed meanwhile, but not the volume key. */
static int read_key(struct key_errand *asked)
{
    int slot = LUKS_KEYSLOT_ANY;

    return volume_key_read(&asked->key, &slot, asked->header, &asked->source,
                           asked->settings->image, &asked->error);
}

static void ask(struct errand *errand)
{
    struct key_errand *asked = container_of(errand, struct key_errand, errand);

    asked->code = load_header(asked);
    if (asked->code == 0 && asked->reads_key)
        asked->code = read_key(asked);
}

static void free_errand(struct key_errand *asked)
{
    if (asked->source.fd_is_lent)
        close((int)asked->source.fd);
    if (asked->settings != NULL)
        kept_settings_free(asked->settings);
    luks_free(asked->header);
    secret_free(asked->key);
    free(asked);
}

static void drop(struct errand *errand)
{
    struct key_errand *asked = container_of(errand, struct key_errand, errand);
    sem_t *wake = errand->wake;

    atomic_fetch_sub(&asked->export->visits, 1);
    free_errand(asked);
    sem_post(wake); /* its export may wait to be closed */
}

static void end_errand(struct key_change *key)
{
    if (key->errand == NULL)
        return;
    atomic_fetch_sub(&key->export->visits, 1);
    free_errand(key->errand);
    key->errand = NULL;
}

/* The descriptor of a caller is his to close. */
static int take_source(struct key_errand *asked, const struct key_source *source, struct error *err)
{
    asked->source = source != NULL ? *source : asked->settings->key;
    if (!asked->source.fd_is_lent)
        return 0;
    int fd = fcntl((int)asked->source.fd, F_DUPFD_CLOEXEC, 3);
    asked->source.fd_is_lent = fd >= 0;
    asked->source.fd = (unsigned)fd;
    return fd >= 0 ? 0 : error_set(err, -errno, "its descriptor: %s", strerror(errno));
}

static int begin_errand(struct key_change *key, bool reads_key, unsigned seconds, struct error *err)
{
    struct key_errand *asked = calloc(1, sizeof *asked);
    struct export_settings settings = *key->export->settings;
    int result;

    if (asked == NULL)
        return error_no_memory(err, NULL);
    settings.access = NULL;
    asked->settings = kept_settings_create(&settings);
    asked->errand = (struct errand){ .work = ask, .drop = drop, .wake = key->terms.wake };
    asked->export = key->export;
    asked->reads_key = reads_key;
    result = asked->settings == NULL ? error_no_memory(err, NULL) : 0;
    if (result == 0 && reads_key)
        result = take_source(asked, key->change->key, err);
    atomic_fetch_add(&key->export->visits, 1);
    key->errand = asked;
    if (result == 0)
        result = errand_begin(&asked->errand, seconds, err);
    if (result < 0)
        end_errand(key);
    return result;
}

/* True: there is nothing to wait for any more.  One that is late is left: it is NULL then. */
static bool errand_is_over(struct key_change *key)
{
    if (key->errand == NULL || errand_has_ended(&key->errand->errand))
        return true;
    if (!errand_is_late(&key->errand->errand))
        return false;
    errand_leave(&key->errand->errand);
    key->errand = NULL;
    return true;
}

/* ---- what workers do ---- */

static int create_round(struct key_change *key, struct error *err)
{
    key->round = worker_round_create(key->terms.worker_count);
    if (key->round == NULL)
        return error_no_memory(err, NULL);
    key->round->wake = key->terms.wake;
    return 0;
}

static void begin_round(struct key_change *key, bool resume)
{
    key->answered = false;
    worker_round_suspend(key->round, key->terms.workers, key->export, resume);
}

static bool round_is_over(struct key_change *key)
{
    key->answered = key->answered || key->round == NULL || worker_round_wait(key->round, 0);
    return key->answered;
}

/* ---- a key goes ---- */

/* From here on whoever attaches it waits, and has no cipher. */
static int begin_to_stop(struct key_change *key)
{
    struct export *ex = key->export;
    struct error *err = &key->change->error, why;

    if (atomic_load(&ex->suspended))
        return 0;
    if (!export_is_open(ex) || luks_stage_volume_key(ex->top) == NULL)
        return error_set(err, -EINVAL, "export '%s' has no key: it %s", ex->name,
                         export_is_open(ex) ? "does not encrypt" : "is not open");
    int result = create_round(key, err);
    if (result == 0)
        result = luks_stage_suspend(ex->top, err);
    if (result < 0)
        return result;
    atomic_store(&ex->suspended, true);
    key->step = KEY_STOPS;
    begin_round(key, false);
    if (begin_errand(key, false, HEADER_SECONDS, &why) < 0)
        log_export(LOG_WARNING, NULL, ex->name, "export '%s': its header can't be looked at: %s",
                   ex->name, why.text);
    return 1;
}

/* Whether there is a way back. */
static int check_header(struct key_change *key)
{
    const struct key_errand *asked = key->errand;
    const char *name = key->export->name;

    if (asked == NULL || asked->code < 0) {
        log_export(LOG_WARNING, NULL, name,
                   "export '%s': its header could not be read now, so that nobody has looked "
                   "whether its key can be had again%s%s",
                   name, asked != NULL ? ": " : ": its storage does not answer",
                   asked != NULL ? asked->error.text : "");
        return 0;
    }
    int code = luks_keyslot_check_volume_key(asked->header, luks_stage_volume_key(key->export->top),
                                             &key->change->error);
    if (code < 0)
        error_prefix(
            &key->change->error,
            "image '%s': its header is not that of its key any more: ", asked->settings->image);
    return code;
}

static void tell_suspended(const struct key_change *key)
{
    unsigned left = worker_round_left(key->round);

    if (left > 0)
        log_export(LOG_WARNING, NULL, key->export->name,
                   "export '%s': %u connection%s of it had requests that its storage has not "
                   "answered: what these carry is in memory until it does",
                   key->export->name, left, left == 1 ? "" : "s");
    log_export(LOG_NOTICE, LOG_ID_EXPORT_SUSPENDED, key->export->name,
               "export '%s' is suspended: its key is not in memory, and its clients wait",
               key->export->name);
    EVENT(.type = "export.suspended", .export = key->export->name);
}

/* ---- it is there again ---- */

/* The key is there; `ex->suspended` before the workers, so that nobody is left waiting. */
static void let_go_on(struct key_change *key, struct secret *volume_key)
{
    luks_stage_restore(key->export->top, volume_key);
    atomic_store(&key->export->suspended, false);
    key->step = KEY_GOES_ON;
    begin_round(key, true);
}

/* What was typed, or read from what the server was handed at its start, is there once. */
static int check_source(const struct key_source *source, struct error *err)
{
    if (key_source_given(source) != NULL && !key_source_is_stdin(source) && source->fd == 0)
        return 0;
    return error_set(err, -EINVAL,
                     "its key came from the terminal, standard input or a descriptor, which can't "
                     "be read again: give it by a descriptor (--key-fd)");
}

static int begin_to_read(struct key_change *key)
{
    struct error *err = &key->change->error;
    int result = 0;

    if (!atomic_load(&key->export->suspended))
        return 0;
    if (key->change->key == NULL)
        result = check_source(&key->export->settings->key, err);
    key->step = KEY_IS_READ;
    if (result == 0)
        result = create_round(key, err);
    key->answered = true; /* nothing is asked yet */
    if (result == 0)
        result = begin_errand(key, true, key->terms.seconds, err);
    return result < 0 ? result : 1;
}

static int take_key(struct key_change *key)
{
    struct key_errand *asked = key->errand;
    struct error *err = &key->change->error;

    if (asked == NULL)
        return error_set(err, -ETIMEDOUT,
                         "its key was not there within %u seconds (--open-timeout): whoever gives "
                         "it, or its storage, does not answer",
                         key->terms.seconds);
    if (asked->code < 0) {
        *err = asked->error;
        return asked->code;
    }
    if (!luks_stage_knows(key->export->top, asked->key))
        return error_set(err, -EACCES, "image '%s': its header has another volume key than before",
                         asked->settings->image);
    let_go_on(key, asked->key);
    asked->key = NULL;
    return 0;
}

/* ---- all of it ---- */

/* In order of execution; each says whether another step has begun. */
static bool have_stopped(struct key_change *key)
{
    int code = check_header(key);

    if (code == 0) {
        luks_stage_forget(key->export->top);
        tell_suspended(key);
        return false;
    }
    (void)exports_change_fail(key->change, code);
    let_go_on(key, NULL);
    return true;
}

static bool was_read(struct key_change *key)
{
    int code = take_key(key);

    (void)exports_change_fail(key->change, code);
    return code == 0;
}

static bool have_gone_on(struct key_change *key)
{
    struct exports_change *change = key->change;
    struct export *ex = key->export;
    int code = worker_round_code(key->round);

    if (code == 0 && change->resumed != NULL) {
        log_export(LOG_NOTICE, LOG_ID_EXPORT_RESUMED, ex->name,
                   "export '%s' is resumed: its key is there, and its clients go on", ex->name);
        EVENT(.type = "export.resumed", .export = ex->name);
    }
    if (code == 0)
        return false;
    /* Some have no cipher: none shall have one. */
    (void)exports_change_fail(change, error_set(&change->error, code, "not enough memory"));
    if (luks_stage_suspend(ex->top, NULL) < 0)
        return false;
    atomic_store(&ex->suspended, true);
    key->step = KEY_STOPS_AGAIN;
    begin_round(key, false);
    return true;
}

static bool have_stopped_again(struct key_change *key)
{
    luks_stage_forget(key->export->top);
    return false;
}

static bool next_step(struct key_change *key)
{
    static bool (*const steps[])(struct key_change *) = {
        [KEY_STOPS] = have_stopped,
        [KEY_IS_READ] = was_read,
        [KEY_GOES_ON] = have_gone_on,
        [KEY_STOPS_AGAIN] = have_stopped_again,
    };

    return steps[key->step](key);
}

static bool look(struct key_change *key)
{
    do {
        bool answered = round_is_over(key);

        if (!errand_is_over(key) || !answered)
            return false;
    } while (next_step(key));
    return true;
}

static void leave_errand(struct key_change *key)
{
    if (key->errand != NULL)
        errand_leave(&key->errand->errand);
    key->errand = NULL;
}

static void free_change(struct key_change *key)
{
    end_errand(key);
    if (key->round != NULL)
        worker_round_free(key->round);
    atomic_fetch_sub(&key->export->visits, 1);
    free(key);
}

/* *out: NULL with 0: it was so already. */
static int begin(struct key_change **out, struct exports_change *change, struct export *export,
                 const struct key_terms *terms)
{
    struct key_change *key = calloc(1, sizeof *key);

    *out = NULL;
    if (key == NULL)
        return exports_change_fail(change, error_no_memory(&change->error, NULL));
    key->change = change;
    key->export = export;
    key->terms = *terms;
    atomic_fetch_add(&export->visits, 1);
    int result = change->resumed != NULL ? begin_to_read(key) : begin_to_stop(key);
    if (result > 0) {
        *out = key;
        return 0;
    }
    free_change(key);
    return exports_change_fail(change, result);
}

/* ---- those that are under way ---- */

static void answer(struct key_change **link)
{
    struct key_change *key = *link;
    struct exports_change *change = key->change;

    *link = key->next;
    free_change(key);
    change->done(change);
}

/* One that waits for its key makes room for the next one.  -EBUSY. */
static int make_room(struct key_change **list, struct exports_change *change,
                     const struct export *export)
{
    struct key_change **link = list;

    while (*link != NULL && (*link)->export != export)
        link = &(*link)->next;
    struct key_change *before = *link;
    if (before == NULL)
        return 0;
    if (before->step != KEY_IS_READ)
        return exports_change_fail(change, error_set(&change->error, -EBUSY,
                                                     "export '%s' is just being suspended or "
                                                     "resumed: try again",
                                                     export->name));
    leave_errand(before);
    (void)exports_change_fail(before->change,
                              error_set(&before->change->error, -ECANCELED,
                                        "export '%s' was asked to be suspended or resumed again",
                                        export->name));
    answer(link);
    return 0;
}

void key_changes_begin(struct key_change **list, struct exports_change *change,
                       struct export *export, const struct key_terms *terms)
{
    struct key_change *key = NULL;
    int result = make_room(list, change, export);

    if (result == 0)
        result = begin(&key, change, export, terms);
    if (result < 0 || key == NULL) {
        change->done(change);
        return;
    }
    key->next = *list;
    *list = key;
}

void key_changes_look(struct key_change **list)
{
    while (*list != NULL)
        if (look(*list))
            answer(list);
        else
            list = &(*list)->next;
}

uint64_t key_changes_next_ms(const struct key_change *list)
{
    uint64_t soonest = UINT64_MAX;

    /* Behind an errand that has ended the workers are waited for, and they wake. */
    for (; list != NULL; list = list->next)
        if (list->errand != NULL && !errand_has_ended(&list->errand->errand) &&
            list->errand->errand.until_ms < soonest)
            soonest = list->errand->errand.until_ms;
    return soonest;
}

struct worker_round *key_changes_fail(struct key_change **list)
{
    struct worker_round *unanswered = NULL;

    while (*list != NULL) {
        struct key_change *key = *list;

        leave_errand(key);
        if (!round_is_over(key)) {
            key->round->next = unanswered;
            unanswered = key->round;
            key->round = NULL;
        }
        (void)exports_change_fail_for_the_end(key->change);
        answer(list);
    }
    return unanswered;
}
