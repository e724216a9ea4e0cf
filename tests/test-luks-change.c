/* Keys of a header are changed, and the power goes: after any number of the 512-byte sectors that were
 * written since the last flush, in order or not, a key that worked before still opens the volume. */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "crypto/luks-change.h"
#include "crypto/luks-format.h"
#include "crypto/luks-keyslot.h"
#include "tests/check.h"

#define MIB (1024u * 1024u)
#define IMAGE_BYTES (20ull * MIB)
#define SECTOR_BYTES 512u
#define COPY_BYTES 16384u /* of a LUKS2 header as it is made here */

/* ---- a disk that remembers the order of writes ---- */

struct written {
    uint64_t offset_bytes;
    uint32_t length_bytes; /* at most a sector; 0: a flush */
    uint8_t data[SECTOR_BYTES];
};

struct disk {
    uint8_t *bytes;
    struct written *log;
    size_t count, room;
    size_t corrupt_at; /* this write (1 is the first) is stored wrongly; 0: none */
};

static struct error err;

static int disk_read(void *context, uint64_t offset_bytes, void *out, size_t length_bytes,
                     struct error *read_err)
{
    const struct disk *disk = context;

    (void)read_err;
    EXPECT(length_bytes <= IMAGE_BYTES && offset_bytes <= IMAGE_BYTES - length_bytes);
    memcpy(out, disk->bytes + offset_bytes, length_bytes);
    return 0;
}

static struct written *log_entry(struct disk *disk)
{
    if (disk->count == disk->room) {
        disk->room = disk->room ? disk->room * 2 : 4096;
        disk->log = realloc(disk->log, disk->room * sizeof(disk->log[0]));
        EXPECT(disk->log != NULL);
    }
    return &disk->log[disk->count++];
}

static int disk_write(void *context, uint64_t offset_bytes, const void *data, size_t length_bytes,
                      struct error *write_err)
{
    struct disk *disk = context;
    const uint8_t *from = data;

    (void)write_err;
    EXPECT(length_bytes <= IMAGE_BYTES && offset_bytes <= IMAGE_BYTES - length_bytes);
    memcpy(disk->bytes + offset_bytes, data, length_bytes);
    while (length_bytes > 0) {
        uint64_t rest_bytes = SECTOR_BYTES - offset_bytes % SECTOR_BYTES;
        struct written *entry = log_entry(disk);

        entry->offset_bytes = offset_bytes;
        entry->length_bytes = (uint32_t)(length_bytes < rest_bytes ? length_bytes : rest_bytes);
        memcpy(entry->data, from, entry->length_bytes);
        if (disk->count == disk->corrupt_at)
            disk->bytes[offset_bytes] ^= 1;
        offset_bytes += entry->length_bytes;
        from += entry->length_bytes;
        length_bytes -= entry->length_bytes;
    }
    return 0;
}

static int disk_flush(void *context, struct error *flush_err)
{
    (void)flush_err;
    log_entry(context)->length_bytes = 0;
    return 0;
}

static struct luks_store store_of(struct disk *disk)
{
    return (struct luks_store){
        .read = disk_read, .write = disk_write, .flush = disk_flush, .context = disk
    };
}

static void free_disk(struct disk *disk)
{
    free(disk->bytes);
    free(disk->log);
}

/* ---- volumes ---- */

static struct secret *make_secret(const char *text)
{
    struct secret *secret = NULL;

    EXPECT(secret_copy(&secret, text, strlen(text), &err) == 0);
    return secret;
}

static struct disk make_disk(enum luks_type type)
{
    struct luks_format_options options = {
        .type = type,
        .cipher = "aes-xts-plain64",
        .key_bits = 512,
        .sector_bytes = 512,
        .pbkdf.name = "pbkdf2",
        .pbkdf.iterations = 1000,
        .data_bytes = IMAGE_BYTES,
    };
    struct luks_format_result result;
    struct secret *passphrase = make_secret("first");
    struct disk disk = { .bytes = calloc(1, IMAGE_BYTES) };

    EXPECT(disk.bytes != NULL);
    EXPECT(luks_format(&result, &options, passphrase, &err) == 0);
    EXPECT(pread(result.image_fd, disk.bytes, result.header_bytes, 0) ==
           (ssize_t)result.header_bytes);
    EXPECT(close(result.image_fd) == 0);
    secret_free(passphrase);
    return disk;
}

static struct luks_header *load(struct disk *disk)
{
    struct luks_header *header = NULL;
    int result = luks_load(&header, disk_read, disk, IMAGE_BYTES, IMAGE_BYTES, false, &err);

    if (result != 0)
        fprintf(stderr, "%s\n", err.text);
    EXPECT(result == 0);
    return header;
}

static bool opens(struct luks_header *header, const char *text)
{
    struct secret *passphrase = make_secret(text), *key = NULL;
    int slot = LUKS_KEYSLOT_ANY;
    int result = luks_keyslot_open(&key, &slot, header, passphrase, &err);

    EXPECT(result == 0 || result == -EACCES);
    secret_free(key);
    secret_free(passphrase);
    return result == 0;
}

static bool disk_opens(struct disk *disk, const char *text)
{
    struct luks_header *header = load(disk);
    bool result = opens(header, text);

    luks_free(header);
    return result;
}

/* ---- changes, each from loading to the commit ---- */

typedef void change_fn(struct luks_header *header, struct luks_change *change);

static struct luks_new_key make_new_key(const struct secret *passphrase)
{
    return (struct luks_new_key){
        .passphrase = passphrase,
        .pbkdf = { .name = "pbkdf2", .iterations = 1000 },
    };
}

static int add_key(struct luks_header *header, const char *text, int slot)
{
    struct secret *old = make_secret("first"), *new = make_secret(text), *key = NULL;
    struct luks_new_key new_key = make_new_key(new);
    int opened = LUKS_KEYSLOT_ANY, result;

    EXPECT(luks_keyslot_open(&key, &opened, header, old, &err) == 0);
    result = luks_keyslot_add(&slot, header, key, &new_key, &err);
    secret_free(old);
    secret_free(new);
    secret_free(key);
    return result < 0 ? result : slot;
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

static int try_change(struct disk *disk, change_fn *make)
{
    struct luks_store store = store_of(disk);
    struct luks_header *header = load(disk);
    struct luks_change *change = NULL;
    int result;

    disk->count = 0;
    EXPECT(luks_change_begin(&change, header, &err) == 0);
    make(header, change);
    result = luks_change_commit(change, &store, &err);
    luks_change_end(change);
    luks_free(header);
    return result;
}

/* ---- power loss ---- */

static void apply(struct disk *disk, const struct written *entry)
{
    memcpy(disk->bytes + entry->offset_bytes, entry->data, entry->length_bytes);
}

/* "first" or "changed" opens what was there before, and `witness`, if any, always. */
static void expect_usable(struct disk *disk, const char *witness)
{
    struct luks_header *header = load(disk);

    if (witness)
        EXPECT(opens(header, witness));
    else
        EXPECT(opens(header, "first") || opens(header, "changed"));
    luks_free(header);
}

/* For cryptsetup's own opinion: when LUKS_CHANGE_STATES names a folder, states of the disk are left there, named
 * N.WITNESS. */
static void keep_state(const struct disk *disk, const char *witness)
{
    const char *folder = getenv("LUKS_CHANGE_STATES");
    static unsigned number;
    char path[4096];
    FILE *file;

    if (!folder)
        return;
    (void)snprintf(path, sizeof(path), "%s/%u.%s", folder, number++, witness ? witness : "any");
    file = fopen(path, "wbe");
    EXPECT(file != NULL);
    EXPECT(fwrite(disk->bytes, 2 * MIB, 1, file) == 1); /* all keyslots that are made here */
    EXPECT(ftruncate(fileno(file), (off_t)IMAGE_BYTES) == 0);
    EXPECT(fclose(file) == 0);
}

/* A cheap source of the same numbers in every run (xorshift). */
static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Any of the sectors between two flushes may have arrived. */
static void lose_some(const struct disk *durable, const struct written *epoch, size_t count,
                      const char *witness, uint32_t *seed)
{
    struct disk disk = { .bytes = malloc(IMAGE_BYTES) };

    EXPECT(disk.bytes != NULL);
    memcpy(disk.bytes, durable->bytes, IMAGE_BYTES);
    for (size_t i = 0; i < count; i++)
        if (next_random(seed) % 2)
            apply(&disk, &epoch[i]);
    expect_usable(&disk, witness);
    keep_state(&disk, witness);
    free(disk.bytes);
}

/* In order, and cut after each sector (every 25th of key material, which is many). */
static void lose_the_end(struct disk *durable, const struct written *epoch, size_t count,
                         const char *witness)
{
    size_t step = count > 100 ? 25 : 1;

    for (size_t i = 0; i < count; i++) {
        apply(durable, &epoch[i]);
        if (i % step == 0 || i + 1 == count)
            expect_usable(durable, witness);
    }
}

/* Plays what `done` has written onto `start`; returns the number of flushes. */
static unsigned lose_power(const uint8_t *start, const struct disk *done, const char *witness)
{
    struct disk durable = { .bytes = malloc(IMAGE_BYTES) };
    uint32_t seed = 1;
    unsigned flushes = 0;

    EXPECT(durable.bytes != NULL);
    memcpy(durable.bytes, start, IMAGE_BYTES);
    for (size_t at = 0, end; at < done->count; at = end + 1) {
        for (end = at; end < done->count && done->log[end].length_bytes > 0; end++)
            ;
        EXPECT(end < done->count); /* all that is written is flushed */
        for (int i = 0; i < 4; i++)
            lose_some(&durable, &done->log[at], end - at, witness, &seed);
        lose_the_end(&durable, &done->log[at], end - at, witness);
        keep_state(&durable, witness);
        flushes++;
    }
    EXPECT(memcmp(durable.bytes, done->bytes, IMAGE_BYTES) == 0);
    free(durable.bytes);
    return flushes;
}

static uint8_t *copy_of(const struct disk *disk)
{
    uint8_t *copy = malloc(IMAGE_BYTES);

    EXPECT(copy != NULL);
    memcpy(copy, disk->bytes, IMAGE_BYTES);
    return copy;
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

    EXPECT(survive(&disk, add_second, "first") == (luks2 ? 3 : 2));
    EXPECT(disk_opens(&disk, "second"));
    EXPECT(survive(&disk, change_first, NULL) == (luks2 ? 4 : 4));
    EXPECT(!disk_opens(&disk, "first") && disk_opens(&disk, "changed"));
    EXPECT(disk_opens(&disk, "second"));
    free_disk(&disk);

    disk = make_disk(type);
    EXPECT(try_change(&disk, add_second) == 0);
    EXPECT(survive(&disk, remove_first, "second") == (luks2 ? 3 : 2));
    EXPECT(!disk_opens(&disk, "first"));
    free_disk(&disk);
}

static void luks1_changes(void)
{
    add_change_remove(LUKS_TYPE_1);
}

static void luks2_changes(void)
{
    add_change_remove(LUKS_TYPE_2);
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
    EXPECT(survive(&disk, change_first, NULL) == 4);
    memcpy(disk.bytes, start, IMAGE_BYTES);
    EXPECT(try_change(&disk, fill_6) == 0);
    EXPECT(survive(&disk, change_first, NULL) == 4);
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

/* A LUKS1 header without keys is still a valid one; LUKS2 keeps the size of the key with the keys. */
static void expect_erased(struct disk *disk, enum luks_type type)
{
    struct luks_header *header = NULL;

    if (type == LUKS_TYPE_1) {
        EXPECT(!disk_opens(disk, "first"));
        EXPECT_TEXT(err.text, "no keyslot is in use: no key can open this volume");
        return;
    }
    EXPECT(luks_load(&header, disk_read, disk, IMAGE_BYTES, IMAGE_BYTES, false, &err) == -ENOTSUP);
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

/* Storage that loses bits is found out before the old header is given up. */
static void corruption_is_noticed(void)
{
    static const size_t writes[] = { 1, 300, 512, 530 };

    for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
        struct disk disk = make_disk(LUKS_TYPE_2);

        disk.corrupt_at = writes[i];
        EXPECT(try_change(&disk, change_first) == -EIO);
        EXPECT(strstr(err.text, "reads back as something else") != NULL);
        EXPECT(strstr(err.text, "the change of the header is incomplete: ") != NULL);
        EXPECT(disk_opens(&disk, "first"));
        free_disk(&disk);
    }
}

static const struct check checks[] = {
    { "LUKS1: keys survive power loss while one is added, changed, removed", luks1_changes },
    { "LUKS1: also where the header touches its second sector", luks1_second_sector },
    { "LUKS2: keys survive power loss while one is added, changed, removed", luks2_changes },
    { "LUKS2: also when a copy is damaged", luks2_bad_copies },
    { "LUKS2: also when a copy is older than the other", luks2_old_copies },
    { "the material of removed keys is wiped", removed_keys_are_wiped },
    { "a keyslot in use is never overwritten", in_place_is_refused },
    { "what reads back as something else stops the change", corruption_is_noticed },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
