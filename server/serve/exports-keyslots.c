#include "server/serve/exports-keyslots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/base/event.h"
#include "server/base/log.h"
#include "server/block/image.h"
#include "server/client/channel.h"
#include "server/serve/added-export.h"
#include "server/serve/errand.h"
#include "server/serve/kept-settings.h"

#define LAST_LOOKS 2000u /* at one that writes, when the server ends */
#define LAST_LOOK_US 1000u

/* What is done on a thread of its own, which may be left behind: all of it is its own. */
struct work {
    struct errand errand;
    struct export_settings *settings; /* a copy */
    enum keyslots_verb verb;
    struct volume_keys keys; /* its strings are those of the copy, and these: */
    char *priority, *pbkdf;
    char uuid[sizeof(((struct export_luks *)NULL)->uuid)];
    int key_fd, new_key_fd; /* -1: none */
    atomic_int stage;
    int code;
    struct error error;
};

/* Whoever moves it on from the first one decides whether anything is changed. */
enum { WORK_PREPARES, WORK_WRITES, WORK_IS_GIVEN_UP };

struct keyslot_change {
    struct keyslot_change *next;
    struct exports_change *change;
    struct work *work;
    unsigned seconds;
    bool has_more_time; /* it was late when it wrote */
};

/* ---- the work ---- */

static bool move_on(struct work *work, int stage)
{
    int expected = WORK_PREPARES;

    return atomic_compare_exchange_strong(&work->stage, &expected, stage);
}

static bool may_write(void *context)
{
    return move_on(context, WORK_WRITES);
}

static const struct {
    int (*run)(struct volume_keys *keys, struct error *err);
    const char *done;
} verbs[] = {
    [KEYSLOTS_ADD] = { volume_keys_add, "added" },
    [KEYSLOTS_CHANGE] = { volume_keys_change, "changed" },
    [KEYSLOTS_REMOVE] = { volume_keys_remove, "removed" },
};

/* What it is for who keeps account: whatever became of the caller. */
static void tell(const struct work *work)
{
    const char *name = work->settings->name;
    struct error what;

    if (work->code == -EACCES)
        EVENT(.type = "key.failed", .export = name, .reason = work->error.text);
    if (work->code < 0)
        return;
    error_set(&what, 0, "image '%s': a key was %s, keyslot %d", work->settings->image,
              verbs[work->verb].done, work->keys.changed_slot);
    log_export(LOG_NOTICE, NULL, name, "export '%s': a key was %s: keyslot %d", name,
               verbs[work->verb].done, work->keys.changed_slot);
    EVENT(.type = "key.changed", .export = name, .reason = what.text);
}

static void do_work(struct errand *errand)
{
    struct work *work = container_of(errand, struct work, errand);

    work->code = verbs[work->verb].run(&work->keys, &work->error);
    if (work->code == -EPERM &&
        work->verb == KEYSLOTS_REMOVE) /* its sentence is that of a command */
        error_set(&work->error, 0, "%s (of `nbdcrypt ctl key remove`: force=yes)",
                  work->error.text);
    tell(work);
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void free_work(struct work *work)
{
    if (work == NULL)
        return;
    close_fd(work->key_fd);
    close_fd(work->new_key_fd);
    if (work->settings != NULL)
        kept_settings_free(work->settings);
    free(work->priority);
    free(work->pbkdf);
    free(work);
}

static void drop(struct errand *errand)
{
    free_work(container_of(errand, struct work, errand));
}

/* -1: there is none. */
static int copy_fd(int *out, struct key_source *source, int fd, struct error *err)
{
    if (fd < 0)
        return 0;
    *out = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    *source = (struct key_source){ .fd = (unsigned)*out, .fd_is_lent = true };
    return *out >= 0 ? 0 : error_set(err, -errno, "its descriptor: %s", strerror(errno));
}

static int copy_text(char **out, const char **field, struct error *err)
{
    if (*field == NULL)
        return 0;
    *field = *out = strdup(*field);
    return *out != NULL ? 0 : error_no_memory(err, NULL);
}

/* What has the path by now may be another volume than the one that is served. */
static void demand_same_volume(struct work *work, const struct export *export)
{
    if (!export_is_open(export) || export->luks.uuid[0] == '\0')
        return;
    memcpy(work->uuid, export->luks.uuid, sizeof work->uuid);
    work->keys.demands.uuid = work->uuid;
}

static int create_work(struct work **out, const struct keyslots_wish *wish,
                       const struct export *export, struct error *err)
{
    struct export_settings settings = *export->settings;
    struct work *work = *out = calloc(1, sizeof *work);

    if (work == NULL)
        return error_no_memory(err, NULL);
    work->key_fd = work->new_key_fd = -1;
    settings.access = NULL;
    work->settings = kept_settings_create(&settings);
    if (work->settings == NULL)
        return error_no_memory(err, NULL);
    work->verb = wish->verb;
    work->keys = (struct volume_keys){
        .image = work->settings->image,
        .header = work->settings->header,
        .demands = work->settings->demands,
        .terms = work->settings->options.terms,
        .options = wish->options,
        .may_write = may_write,
        .context = work,
    };
    demand_same_volume(work, export);
    int result = copy_text(&work->priority, &work->keys.options.priority, err);
    if (result == 0)
        result = copy_text(&work->pbkdf, &work->keys.options.pbkdf.name, err);
    if (result == 0)
        result = copy_fd(&work->key_fd, &work->keys.key, wish->key_fd, err);
    if (result == 0)
        result = copy_fd(&work->new_key_fd, &work->keys.new_key, wish->new_key_fd, err);
    return result;
}

/* ---- whether it can be ---- */

static bool image_was_lent(const struct export_settings *settings)
{
    return settings->options.fd != 0 ||
           (settings->added && container_of(settings, struct added, settings)->image_was_lent);
}

/* Why its header can't be changed; NULL: nothing speaks against it so far. */
static const char *obstacle(const struct export_settings *settings)
{
    if (settings->raw)
        return "it is raw: what is served has no keys";
    if (settings->options.read_only)
        return "it is read-only: its image is not written, and neither is its header";
    if (image_was_lent(settings) && settings->header == NULL)
        return "its image came by a descriptor, and can't be opened once more: change the key by "
               "`nbdcrypt key`";
    if (image_was_lent(settings))
        return "its image came by a descriptor, and can't be opened once more beside its header: "
               "change the key by `nbdcrypt key --header`";
    if (image_opens_in_order(settings->image) ||
        (settings->header != NULL && image_opens_in_order(settings->header)))
        return "images of its kind are opened at the start only, by one thread: change the key by "
               "`nbdcrypt key`";
    return NULL;
}

static int check(const struct keyslot_change *list, const struct export *export, struct error *err)
{
    const char *why = obstacle(export->settings);
    unsigned count = 0;

    if (why != NULL)
        return error_set(err, -EINVAL, "the keys of export '%s' can't be changed: %s", export->name,
                         why);
    for (; list != NULL; list = list->next) {
        if (strcmp(list->work->settings->name, export->name) == 0)
            return error_set(err, -EBUSY,
                             "the keys of export '%s' are just being changed: try again",
                             export->name);
        count++;
    }
    if (count < KEYSLOT_CHANGES_MAX)
        return 0;
    return error_set(err, -EBUSY, "%u keys are being changed already: try again", count);
}

/* ---- one under way ---- */

static void answer(struct keyslot_change **link)
{
    struct keyslot_change *key = *link;
    struct exports_change *change = key->change;

    *link = key->next;
    free_work(key->work);
    free(key);
    change->done(change);
}

static void take_result(struct keyslot_change *key)
{
    struct exports_change *change = key->change;
    const struct work *work = key->work;

    if (work->code < 0) {
        change->error = work->error;
        (void)exports_change_fail(change, work->code);
        return;
    }
    change->keyslots->changed_slot = work->keys.changed_slot;
    change->keyslots->known_slot =
        work->verb == KEYSLOTS_ADD ? work->keys.known_slot : LUKS_KEYSLOT_ANY;
}

static void leave(struct keyslot_change *key)
{
    errand_leave(&key->work->errand);
    key->work = NULL;
}

static void fail_late(struct keyslot_change *key, bool writes)
{
    struct exports_change *change = key->change;
    const char *name = change->keyslots->name;

    if (writes)
        error_set(&change->error, -ETIMEDOUT,
                  "export '%s': the storage of its header does not answer: it is not certain what "
                  "it keeps, so keep all keys until `nbdcrypt key test` can tell",
                  name);
    else
        error_set(&change->error, -ETIMEDOUT,
                  "export '%s': nothing was changed, for it was not ready within %u seconds "
                  "(--open-timeout): whoever gives its key, or its storage, does not answer, or "
                  "too many keys are derived",
                  name, key->seconds);
    (void)exports_change_fail(change, -ETIMEDOUT);
}

/* True: it is over.  One that writes has as much time once more. */
static bool look(struct keyslot_change *key)
{
    struct errand *errand = &key->work->errand;

    if (errand_has_ended(errand)) {
        take_result(key);
        return true;
    }
    if (!errand_is_late(errand))
        return false;
    bool writes = !move_on(key->work, WORK_IS_GIVEN_UP);
    if (writes && !key->has_more_time) {
        key->has_more_time = true;
        errand->until_ms = channel_clock_ms() + key->seconds * 1000ull;
        return false;
    }
    leave(key);
    fail_late(key, writes);
    return true;
}

/* ---- those that are under way ---- */

static int begin(struct keyslot_change **list, struct exports_change *change,
                 const struct export *export, unsigned seconds, sem_t *wake)
{
    struct keyslot_change *key;
    int result = check(*list, export, &change->error);

    if (result < 0)
        return result;
    key = calloc(1, sizeof *key);
    if (key == NULL)
        return error_no_memory(&change->error, NULL);
    key->change = change;
    key->seconds = seconds;
    result = create_work(&key->work, change->keyslots, export, &change->error);
    if (result == 0) {
        key->work->errand = (struct errand){ .work = do_work, .drop = drop, .wake = wake };
        result = errand_begin(&key->work->errand, seconds, &change->error);
    }
    if (result < 0) {
        free_work(key->work);
        free(key);
        return result;
    }
    key->next = *list;
    *list = key;
    return 0;
}

void keyslot_changes_begin(struct keyslot_change **list, struct exports_change *change,
                           const struct export *export, unsigned seconds, sem_t *wake)
{
    int result = begin(list, change, export, seconds, wake);

    if (result == 0)
        return;
    (void)exports_change_fail(change, result);
    change->done(change);
}

void keyslot_changes_look(struct keyslot_change **list)
{
    while (*list != NULL)
        if (look(*list))
            answer(list);
        else
            list = &(*list)->next;
}

uint64_t keyslot_changes_next_ms(const struct keyslot_change *list)
{
    uint64_t soonest = UINT64_MAX;

    for (; list != NULL; list = list->next)
        if (!errand_has_ended(&list->work->errand) && list->work->errand.until_ms < soonest)
            soonest = list->work->errand.until_ms;
    return soonest;
}

void keyslot_changes_fail(struct keyslot_change **list)
{
    while (*list != NULL) {
        struct keyslot_change *key = *list;
        bool writes = !move_on(key->work, WORK_IS_GIVEN_UP);

        for (unsigned i = 0; writes && i < LAST_LOOKS && !errand_has_ended(&key->work->errand); i++)
            usleep(LAST_LOOK_US);
        if (writes && errand_has_ended(&key->work->errand)) {
            take_result(key);
        } else {
            leave(key);
            if (writes)
                fail_late(key, true);
            else
                (void)exports_change_fail_for_the_end(key->change);
        }
        answer(list);
    }
}
