/* Keys of a header are changed, and the power goes: after any number of the 512-byte sectors that
 * were written since the last flush, in order or not, a key that worked before still opens the
 * volume. */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "crypto/luks/luks-change.h"
#include "crypto/luks/luks-flags.h"
#include "crypto/luks/luks-token.h"
#include "tests/support/luks-disk.h"

/* ---- changes, each from loading to the commit ---- */

typedef void change_fn(struct luks_header *header, struct luks_change *change);

static int add_key(struct luks_header *header, const char *text, int slot)
{
    return add_key_as(header, "first", text, slot);
}

static void add_second(struct luks_header *header, struct luks_change *change)
{
    struct secret *second = make_secret("second");
    int slot = add_key(header, "second", LUKS_KEYSLOT_ANY);

    EXPECT(slot >= 0);
    EXPECT(luks_change_check(change, slot, second, &err) == 0);
    secret_free(second);
}

static void change_first(struct luks_header *header, struct luks_change *change)
{
    struct secret *old = make_secret("first"), *new = make_secret("changed");
    struct luks_new_key new_key = make_new_key(new);
    int slot = LUKS_KEYSLOT_ANY;

    EXPECT(luks_keyslot_change(&slot, header, old, &new_key, &err) == 0);
    EXPECT(luks_change_check(change, slot, new, &err) == 0);
    secret_free(old);
    secret_free(new);
}

static void remove_first(struct luks_header *header, struct luks_change *change)
{
    (void)change;
    EXPECT(luks_keyslot_remove(0, header, false, &err) == 0);
}

static void remove_all(struct luks_header *header, struct luks_change *change)
{
    unsigned count = 0;

    (void)change;
    EXPECT(luks_keyslot_remove_all(&count, header, &err) == 0);
    EXPECT(count > 0);
}

static enum luks_outcome outcome; /* of the last change */

static int try_change(struct disk *disk, change_fn *make)
{
    struct luks_store store = store_of(disk);
    struct luks_header *header = load(disk);
    struct luks_change *change = NULL;
    int result;

    disk->count = disk->calls = 0;
    EXPECT(luks_change_begin(&change, header, &err) == 0);
    make(header, change);
    result = luks_change_commit(change, &store, &err);
    outcome = luks_change_outcome(change);
    luks_change_end(change);
    luks_free(header);
    return result;
}

/* Makes the change and loses the power at each step of it. */
static unsigned survive(struct disk *disk, change_fn *make, const char *witness)
{
    uint8_t *start = copy_of(disk);
    unsigned flushes;
    int result = try_change(disk, make);

    if (result != 0)
        fprintf(stderr, "%s\n", err.text);
    EXPECT(result == 0);
    flushes = lose_power(start, disk, witness);
    free(start);
    return flushes;
}

static void add_change_remove(enum luks_type type)
{
    bool luks2 = type == LUKS_TYPE_2;
    struct disk disk = make_disk(type);

    EXPECT(survive(&disk, add_second, "first") == (luks2 ? 6 : 4)); /* the half of it for room */
    EXPECT(disk_opens(&disk, "second"));
    EXPECT(survive(&disk, change_first, "first|changed") == (luks2 ? 7 : 6));
    EXPECT(!disk_opens(&disk, "first") && disk_opens(&disk, "changed"));
    EXPECT(disk_opens(&disk, "second"));
    free_disk(&disk);

    disk = make_disk(type);
    EXPECT(try_change(&disk, add_second) == 0);
    EXPECT(survive(&disk, remove_first, "second") == (luks2 ? 5 : 3));
    EXPECT(!disk_opens(&disk, "first"));
    free_disk(&disk);
}

static void erase(enum luks_type type)
{
    struct disk disk = make_disk(type);

    (void)survive(&disk, remove_all, NULL);
    free_disk(&disk);
}

static void luks1_changes(void)
{
    add_change_remove(LUKS_TYPE_1);
    erase(LUKS_TYPE_1);
}

static void luks2_changes(void)
{
    add_change_remove(LUKS_TYPE_2);
    erase(LUKS_TYPE_2);
}

static void allow_discards(struct luks_header *header, struct luks_change *change)
{
    (void)change;
    EXPECT(luks_flags_allow_discards(header, true, &err) == 0);
}

static void add_token(struct luks_header *header, struct luks_change *change)
{
    int token = 0;

    (void)change;
    EXPECT(luks_token_set(&token, header, "{\"type\":\"x\",\"keyslots\":[\"0\"]}", false, &err) ==
           0);
}

static void replace_token(struct luks_header *header, struct luks_change *change)
{
    int token = 0;

    (void)change;
    EXPECT(luks_token_set(&token, header, "{\"type\":\"y\",\"keyslots\":[\"0\"]}", true, &err) ==
           0);
}

static void remove_token(struct luks_header *header, struct luks_change *change)
{
    (void)change;
    EXPECT(luks_token_remove(0, header, &err) == 0);
}

/* What changes the text alone needs no material: room for two copies, and two copies. */
static void luks2_texts(void)
{
    static change_fn *const changes[] = { allow_discards, add_token, replace_token, remove_token };
    struct disk disk = make_disk(LUKS_TYPE_2);

    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        EXPECT(survive(&disk, changes[i], "first") == 4);
    free_disk(&disk);
}

static void fill_to_6(struct luks_header *header, struct luks_change *change)
{
    (void)change;
    for (int slot = 1; slot <= 5; slot++)
        EXPECT(add_key(header, "filler", slot) == slot);
}

static void fill_6(struct luks_header *header, struct luks_change *change)
{
    (void)change;
    EXPECT(add_key(header, "filler", 6) == 6);
}

static void fill_7(struct luks_header *header, struct luks_change *change)
{
    (void)change;
    EXPECT(add_key(header, "filler", 7) == 7);
}

/* Keyslot 6 reaches from the first sector into the second, keyslot 7 is in the second. */
static void luks1_second_sector(void)
{
    struct disk disk = make_disk(LUKS_TYPE_1);
    uint8_t *start;

    EXPECT(try_change(&disk, fill_to_6) == 0);
    start = copy_of(&disk);
    EXPECT(survive(&disk, change_first, "first|changed") == 6);
    memcpy(disk.bytes, start, IMAGE_BYTES);
    EXPECT(try_change(&disk, fill_6) == 0);
    EXPECT(survive(&disk, change_first, "first|changed") == 6);
    free(start);
    free_disk(&disk);
}

/* Whichever copy is bad, it is written first. */
static void luks2_bad_copies(void)
{
    static const size_t damaged_at[] = { 5000, COPY_BYTES + 5000 };

    for (size_t i = 0; i < 2; i++) {
        struct disk disk = make_disk(LUKS_TYPE_2);

        disk.bytes[damaged_at[i]] ^= 0xff;
        (void)survive(&disk, add_second, "first");
        EXPECT(disk_opens(&disk, "second"));
        disk.bytes[damaged_at[1 - i]] ^= 0xff; /* the other one is whole now */
        EXPECT(disk_opens(&disk, "second"));
        free_disk(&disk);
    }
}

/* A change was interrupted between the copies: the next one begins with the older copy. */
static void luks2_old_copies(void)
{
    for (size_t old = 0; old < 2; old++) {
        struct disk disk = make_disk(LUKS_TYPE_2);
        uint8_t *start = copy_of(&disk);

        EXPECT(try_change(&disk, add_second) == 0);
        memcpy(disk.bytes + old * COPY_BYTES, start + old * COPY_BYTES, COPY_BYTES);
        (void)survive(&disk, remove_first, "second");
        free(start);
        free_disk(&disk);
    }
}

/* A LUKS1 header without keys is still a valid one; LUKS2 keeps the size of the key with the
 * keys. */
static void expect_erased(struct disk *disk, enum luks_type type)
{
    struct luks_header *header = NULL;

    if (type == LUKS_TYPE_1) {
        EXPECT(!disk_opens(disk, "first"));
        EXPECT_TEXT(err.text, "no keyslot is in use: no key can open this volume");
        return;
    }
    EXPECT(luks_load(&header, disk_read, disk, IMAGE_BYTES, IMAGE_BYTES, false, &err) == -ENOKEY);
    EXPECT_TEXT(err.text, "LUKS header: no keyslot holds the volume key (erased?): no passphrase "
                          "can open it");
}

/* Neither zeros nor anything of what it was. */
static void removed_keys_are_wiped(void)
{
    for (enum luks_type type = LUKS_TYPE_1; type <= LUKS_TYPE_2; type++) {
        struct disk disk = make_disk(type);
        uint64_t at = type == LUKS_TYPE_1 ? 4096 : 2 * COPY_BYTES;
        uint8_t *start;

        EXPECT(try_change(&disk, add_second) == 0);
        start = copy_of(&disk);
        EXPECT(try_change(&disk, remove_all) == 0);
        for (uint64_t i = at; i < at + 500 * SECTOR_BYTES; i += 16) {
            static const uint8_t zeros[16];

            EXPECT(memcmp(disk.bytes + i, start + i, 16) != 0);
            EXPECT(memcmp(disk.bytes + i, zeros, 16) != 0);
        }
        expect_erased(&disk, type);
        free(start);
        free_disk(&disk);
    }
}

static void in_place_is_refused(void)
{
    struct disk disk = make_disk(LUKS_TYPE_1);
    struct secret *old = make_secret("first"), *new = make_secret("changed");
    struct luks_new_key new_key = make_new_key(new);
    struct luks_header *header;
    int slot = LUKS_KEYSLOT_ANY;

    EXPECT(try_change(&disk, fill_to_6) == 0);
    EXPECT(try_change(&disk, fill_6) == 0);
    EXPECT(try_change(&disk, fill_7) == 0);
    header = load(&disk);
    EXPECT(luks_keyslot_change(&slot, header, old, &new_key, &err) == -ENOSPC);
    EXPECT_TEXT(err.text, "all 8 keyslots are in use; remove a key that is not needed");
    EXPECT(add_key(header, "more", LUKS_KEYSLOT_ANY) == -ENOSPC);
    EXPECT(add_key(header, "more", 3) == -EEXIST);
    EXPECT(add_key(header, "more", 8) == -EINVAL);
    EXPECT_TEXT(err.text, "there is no keyslot 8: LUKS1 has keyslots 0 to 7");
    luks_free(header);
    secret_free(old);
    secret_free(new);
    free_disk(&disk);
}

/* Storage that loses bits, while room is made or later, is found out before the old header is given
 * up. */
static void corruption_is_noticed(void)
{
    static const size_t writes[] = { 1, 300, 510, 530, 560, 900, 1080, 1130 };

    for (size_t i = 0; i < sizeof writes / sizeof writes[0]; i++) {
        struct disk disk = make_disk(LUKS_TYPE_2);

        disk.corrupt_at = writes[i];
        EXPECT(try_change(&disk, change_first) == -EIO);
        EXPECT(strstr(err.text, "reads back as something else") != NULL);
        EXPECT(outcome == LUKS_OUTCOME_BEFORE);
        EXPECT(disk_opens(&disk, "first"));
        free_disk(&disk);
    }
}

/* ---- storage that fails ---- */

/* A change, the key that opens the volume before it and the one that does after it; NULL: none
 * does. */
struct failing {
    change_fn *make;
    const char *before, *after;
    const char *witnesses; /* one of which opens it if the power goes besides; NULL: not tried */
};

static bool is_state(struct disk *disk, const char *opens, const char *other)
{
    if (opens == NULL)
        return !disk_loads(disk) || !disk_opens(disk, other);
    return disk_opens(disk, opens) && (other == NULL || !disk_opens(disk, other));
}

/* One call fails: what was written is undone to the byte, or only the wiping is missing. */
static void fail_once(struct disk *disk, const struct failing *failing, const uint8_t *start)
{
    struct luks_store end = store_of(disk);

    if (outcome == LUKS_OUTCOME_BEFORE) {
        EXPECT(memcmp(disk->bytes, start, IMAGE_BYTES) == 0);
        EXPECT(end.flush(disk, &err) == 0); /* nothing that matters: room may have been made */
        if (failing->witnesses != NULL && disk->calls % 4 == 0) /* it takes long */
            EXPECT(lose_power(start, disk, failing->witnesses) > 0);
        return;
    }
    EXPECT(outcome == LUKS_OUTCOME_AFTER);
    EXPECT(is_state(disk, failing->after, failing->before));
}

/* So do all later ones.  What is not certain is said to be so, and a key opens the volume. */
static void fail_on(struct disk *disk, const struct failing *failing)
{
    EXPECT(outcome != LUKS_OUTCOME_UNTOUCHED);
    if (outcome == LUKS_OUTCOME_BEFORE)
        EXPECT(is_state(disk, failing->before, NULL));
    else if (outcome == LUKS_OUTCOME_AFTER)
        EXPECT(is_state(disk, failing->after, failing->before));
    else
        EXPECT(failing->after == NULL || disk_opens(disk, failing->before) ||
               disk_opens(disk, failing->after));
}

/* Returns the number of calls, each of which has failed once. */
static size_t fail_each_call(struct disk *disk, const struct failing *failing, int code,
                             bool stays_broken)
{
    uint8_t *start = copy_of(disk);

    for (size_t at = 1;; at++) {
        int result;

        memcpy(disk->bytes, start, IMAGE_BYTES);
        disk->fail_at = at;
        disk->fail_code = code;
        disk->stays_broken = stays_broken;
        result = try_change(disk, failing->make);
        disk->fail_at = 0;
        if (result == 0) {
            EXPECT(disk->calls < at);
            EXPECT(is_state(disk, failing->after, failing->before));
            memcpy(disk->bytes, start, IMAGE_BYTES);
            free(start);
            return at - 1;
        }
        EXPECT(result == code);
        if (stays_broken)
            fail_on(disk, failing);
        else
            fail_once(disk, failing, start);
    }
}

static void fail_each(enum luks_type type, const struct failing *failing)
{
    struct failing without = { failing->make, failing->before, failing->after, NULL };
    struct disk disk = make_disk(type);
    size_t calls = fail_each_call(&disk, failing, -ENOSPC, false);

    EXPECT(calls > 4);
    EXPECT(fail_each_call(&disk, &without, -EIO, true) == calls);
    free_disk(&disk);
}

static void each_call_fails(void)
{
    static const struct failing change = { change_first, "first", "changed", "first|changed" };
    static const struct failing all = { remove_all, "first", NULL, NULL };

    for (enum luks_type type = LUKS_TYPE_1; type <= LUKS_TYPE_2; type++) {
        fail_each(type, &change);
        fail_each(type, &all);
    }
}

/* Where storage is sparse and full, nothing is written. */
static void no_room(void)
{
    for (enum luks_type type = LUKS_TYPE_1; type <= LUKS_TYPE_2; type++) {
        struct disk disk = make_disk(type);
        uint8_t *start = copy_of(&disk);

        disk.fail_at = 3;
        disk.fail_code = -ENOSPC;
        disk.stays_broken = true;
        EXPECT(try_change(&disk, change_first) == -ENOSPC);
        EXPECT_TEXT(err.text,
                    "there must be room for all that will be written: the disk does not take it");
        EXPECT(outcome == LUKS_OUTCOME_BEFORE);
        EXPECT(memcmp(disk.bytes, start, IMAGE_BYTES) == 0);
        free(start);
        free_disk(&disk);
    }
}

static const struct check checks[] = {
    { "LUKS1: keys survive power loss while one is added, changed, removed", luks1_changes },
    { "LUKS1: also where the header touches its second sector", luks1_second_sector },
    { "LUKS2: keys survive power loss while one is added, changed, removed", luks2_changes },
    { "LUKS2: keys survive power loss while a flag or a token is changed", luks2_texts },
    { "LUKS2: also when a copy is damaged", luks2_bad_copies },
    { "LUKS2: also when a copy is older than the other", luks2_old_copies },
    { "the material of removed keys is wiped", removed_keys_are_wiped },
    { "a keyslot in use is never overwritten", in_place_is_refused },
    { "whichever write or flush fails, the change is in force or it is not", each_call_fails },
    { "room for all of a change is made before a byte changes", no_room },
    { "what reads back as something else stops the change", corruption_is_noticed },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
