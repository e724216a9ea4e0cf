/* Changes of keys: see volume-keys.h. */
#include "server/volume/volume-keys.h"

#include <errno.h>

#include "server/base/log.h"
#include "server/keys/wait-notice.h"
#include "server/volume/volume-key.h"
#include "server/volume/volume.h"

int volume_keys_slot(unsigned slot)
{
    return slot == VOLUME_KEYS_SLOT_NOT_GIVEN ? LUKS_KEYSLOT_ANY : (int)slot;
}

static int priority_of(enum luks_priority *out, const struct volume_keys_options *options,
                       struct error *err)
{
    *out = LUKS_PRIORITY_DEFAULT;
    return options->priority == NULL ? 0 : luks_priority_parse(out, options->priority, err);
}

int volume_keys_check(const struct volume_keys_options *options, struct error *err)
{
    enum luks_priority priority;

    return priority_of(&priority, options, err);
}

/* A change of the header, from the lock to the end. */
struct work {
    struct volume_keys *keys;
    enum luks_priority priority;
    struct secret *old_key; /* NULL: none is needed */
    struct secret *new_key; /* NULL: there is none */
    int slot;               /* out: of the new key, or of the one that was removed */
    int known_slot;         /* out, of add: what the new key opened before */
    bool tried,
        new_opens; /* out, where storage failed: what is stored was tried, and it opens that */
    int (*change)(struct work *work, struct luks_header *header, struct error *err);
};

static struct luks_new_key new_key_of(const struct work *work, const struct secret *passphrase)
{
    return (struct luks_new_key){
        .passphrase = passphrase,
        .pbkdf = work->keys->options.pbkdf,
        .priority = work->priority,
    };
}

/* The volume that is meant, or none.  volume_close() in every case. */
static int open_volume(struct volume *out, const struct volume_keys *keys, enum volume_use use,
                       struct error *err)
{
    return volume_open_demanded(out, keys->image, keys->header, &keys->demands, use, &keys->terms,
                                err);
}

/* Whether it makes sense to ask for passphrases at all; then the old key is read. */
static int look(struct work *work, bool with_old_key, bool with_new_key, struct error *err)
{
    const struct volume_keys *keys = work->keys;
    struct luks_new_key new_key = new_key_of(work, NULL);
    struct volume volume;
    int result = open_volume(&volume, keys, VOLUME_READ, err);

    if (result == 0 && with_new_key)
        result = luks_new_key_check(&new_key, volume.header, err);
    if (result == 0 && with_old_key)
        result = volume_key_ask(&work->old_key, volume_keys_slot(keys->options.slot), volume.header,
                                &keys->key, keys->image, err);
    volume_close(&volume);
    return result;
}

static int may_write(const struct volume_keys *keys, struct error *err)
{
    if (keys->may_write == NULL || keys->may_write(keys->context))
        return 0;
    return error_set(err, -ECANCELED, "nothing was changed, for that took too long");
}

static int change_and_try(void *context, struct luks_header *header, struct luks_change *change,
                          struct error *err)
{
    struct work *work = context;
    struct wait_notice notice;
    int result = work->change(work, header, err);

    if (result == 0 && work->new_key != NULL) {
        wait_notice_begin(&notice, "Trying the new key");
        result = luks_change_check(change, work->slot, work->new_key, err);
        wait_notice_end(&notice);
    }
    return result < 0 ? result : may_write(work->keys, err);
}

static bool opens(const struct work *work, struct volume *volume, bool new)
{
    static const struct key_source passphrase;
    const struct key_source *source = new ? &passphrase : &work->keys->key;
    struct secret *volume_key = NULL;
    int slot = LUKS_KEYSLOT_ANY;
    int result = volume_key_open(&volume_key, &slot, volume->header, source,
                                 new ? work->new_key : work->old_key, NULL);

    secret_free(volume_key);
    return result == 0;
}

/* Tries the keys on what is stored. */
static void tell_keys(void *context, struct volume *volume, struct error *err)
{
    struct work *work = context;
    const char *old = "", *new = "";

    if (work->old_key != NULL || work->keys->key.token)
        old = opens(work, volume, false) ? "; now the old key opens it"
                                         : "; now the old key does not open it";
    work->tried = true;
    work->new_opens = work->new_key != NULL && opens(work, volume, true);
    if (work->new_key)
        new = work->new_opens ? ", the new key opens it" : ", the new key does not";
    if (*old || *new)
        (void)error_set(err, 0, "%s%s%s", err->text, old, new);
    else
        (void)error_set(err, 0, "%s; keyslot %d is %s use now", err->text, work->slot,
                        luks_keyslot_is_in_use(work->slot, volume->header) ? "in" : "not in");
}

/* A new key that is in force, durably, is what was asked for: it was read back before.  What is
 * missing is told; where nothing can be read any more, it was not tried once more. */
static int accept_new_key(const struct work *work, enum luks_outcome outcome, int result,
                          const struct error *err)
{
    if (outcome != LUKS_OUTCOME_AFTER || work->new_key == NULL || (work->tried && !work->new_opens))
        return result;
    log_warning("%s", err->text);
    return 0;
}

static int change_header(struct work *work, struct error *err)
{
    struct volume volume;
    enum luks_outcome outcome = LUKS_OUTCOME_UNTOUCHED;
    int result = open_volume(&volume, work->keys, VOLUME_CHANGE_KEYS, err);

    if (result == 0) {
        result = volume_change_telling(&volume, change_and_try, tell_keys, work, &outcome, err);
        if (result < 0)
            result = accept_new_key(work, outcome, result, err);
    }
    volume_close(&volume);
    work->keys->changed_slot = work->slot;
    work->keys->known_slot = work->known_slot;
    return result;
}

static int begin(struct work *out, struct volume_keys *keys,
                 int (*change)(struct work *work, struct luks_header *header, struct error *err),
                 struct error *err)
{
    *out = (struct work){ .keys = keys, .change = change, .known_slot = LUKS_KEYSLOT_ANY };
    return priority_of(&out->priority, &keys->options, err);
}

static int run_with_new_key(struct work *work, struct error *err)
{
    const struct volume_keys *keys = work->keys;
    int result = look(work, true, true, err);

    if (result == 0)
        result = key_source_read(&work->new_key, &keys->new_key, keys->image, true, err);
    if (result == 0)
        result = change_header(work, err);
    secret_free(work->old_key);
    secret_free(work->new_key);
    return result;
}

/* ---- add ---- */

/* LUKS_KEYSLOT_ANY: none. */
static int slot_that_opens(struct luks_header *header, const struct secret *passphrase)
{
    struct wait_notice notice;
    struct secret *volume_key = NULL;
    int slot = LUKS_KEYSLOT_ANY;

    wait_notice_begin(&notice, "Trying the new key");
    int result = luks_keyslot_open(&volume_key, &slot, header, passphrase, NULL);
    wait_notice_end(&notice);
    secret_free(volume_key);
    return result == 0 ? slot : LUKS_KEYSLOT_ANY;
}

static int add_key(struct work *work, struct luks_header *header, struct error *err)
{
    const struct volume_keys *keys = work->keys;
    struct luks_new_key new_key = new_key_of(work, work->new_key);
    struct secret *volume_key = NULL;
    int slot = volume_keys_slot(keys->options.slot);
    int result = volume_key_open(&volume_key, &slot, header, &keys->key, work->old_key, err);

    if (result < 0)
        return result;
    struct wait_notice notice;

    work->known_slot = slot_that_opens(header, work->new_key);
    work->slot = volume_keys_slot(keys->options.new_slot);
    wait_notice_begin(&notice, "Making the keyslot");
    result = luks_keyslot_add(&work->slot, header, volume_key, &new_key, err);
    wait_notice_end(&notice);
    secret_free(volume_key);
    return result;
}

int volume_keys_add(struct volume_keys *keys, struct error *err)
{
    struct work work;
    int result = begin(&work, keys, add_key, err);

    return result < 0 ? result : run_with_new_key(&work, err);
}

/* ---- change ---- */

static int change_key(struct work *work, struct luks_header *header, struct error *err)
{
    struct luks_new_key new_key = new_key_of(work, work->new_key);
    struct wait_notice notice;

    work->slot = volume_keys_slot(work->keys->options.slot);
    wait_notice_begin(&notice, "Changing the keyslot");
    int result = luks_keyslot_change(&work->slot, header, work->old_key, &new_key, err);
    wait_notice_end(&notice);
    return result;
}

int volume_keys_change(struct volume_keys *keys, struct error *err)
{
    struct work work;
    int result = begin(&work, keys, change_key, err);

    return result < 0 ? result : run_with_new_key(&work, err);
}

/* ---- remove ---- */

static int remove_key(struct work *work, struct luks_header *header, struct error *err)
{
    struct secret *volume_key = NULL;
    int result = 0;

    work->slot = volume_keys_slot(work->keys->options.slot);
    if (work->old_key)
        result = luks_keyslot_open(&volume_key, &work->slot, header, work->old_key, err);
    secret_free(volume_key);
    if (result < 0)
        return result;
    return luks_keyslot_remove(work->slot, header, work->keys->options.force, err);
}

int volume_keys_remove(struct volume_keys *keys, struct error *err)
{
    bool by_key = key_source_given(&keys->key) != NULL ||
                  volume_keys_slot(keys->options.slot) == LUKS_KEYSLOT_ANY;
    struct work work;
    int result = begin(&work, keys, remove_key, err);

    if (result == 0)
        result = look(&work, by_key, false, err);
    if (result == 0)
        result = change_header(&work, err);
    secret_free(work.old_key);
    return result;
}

/* ---- priority ---- */

static int set_priority(struct work *work, struct luks_header *header, struct error *err)
{
    return luks_keyslot_set_priority(work->slot, header, work->priority, err);
}

int volume_keys_set_priority(struct volume_keys *keys, struct error *err)
{
    struct work work;
    int result = begin(&work, keys, set_priority, err);

    work.slot = volume_keys_slot(keys->options.slot);
    return result < 0 ? result : change_header(&work, err);
}
