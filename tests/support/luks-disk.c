/* A disk in memory whose power goes: see luks-disk.h. */
#include "tests/support/luks-disk.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

struct error err;

int disk_read(void *context, uint64_t offset_bytes, void *out, size_t length_bytes,
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
        disk->log = realloc(disk->log, disk->room * sizeof disk->log[0]);
        EXPECT(disk->log != NULL);
    }
    return &disk->log[disk->count++];
}

static bool fails(struct disk *disk)
{
    disk->calls++;
    return disk->fail_at != 0 &&
           (disk->stays_broken ? disk->calls >= disk->fail_at : disk->calls == disk->fail_at);
}

static void store(struct disk *disk, uint64_t offset_bytes, const void *data, size_t length_bytes)
{
    const uint8_t *from = data;

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
}

static int disk_write(void *context, uint64_t offset_bytes, const void *data, size_t length_bytes,
                      struct error *write_err)
{
    struct disk *disk = context;
    bool failed = fails(disk);

    EXPECT(length_bytes <= IMAGE_BYTES && offset_bytes <= IMAGE_BYTES - length_bytes);
    store(disk, offset_bytes, data,
          failed ? length_bytes / 2 / SECTOR_BYTES * SECTOR_BYTES : length_bytes);
    if (failed)
        return error_set(write_err, disk->fail_code, "the disk does not take it");
    return 0;
}

static int disk_flush(void *context, struct error *flush_err)
{
    struct disk *disk = context;

    if (fails(disk))
        return error_set(flush_err, disk->fail_code, "the disk does not take it");
    log_entry(disk)->length_bytes = 0;
    return 0;
}

struct luks_store store_of(struct disk *disk)
{
    return (struct luks_store){
        .read = disk_read, .write = disk_write, .flush = disk_flush, .context = disk
    };
}

void free_disk(struct disk *disk)
{
    free(disk->bytes);
    free(disk->log);
}

/* ---- volumes ---- */

struct secret *make_secret(const char *text)
{
    struct secret *secret = NULL;

    EXPECT(secret_copy(&secret, text, strlen(text), &err) == 0);
    return secret;
}

struct disk make_disk(enum luks_type type)
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

struct luks_header *load(struct disk *disk)
{
    struct luks_header *header = NULL;
    int result = luks_load(&header, disk_read, disk, IMAGE_BYTES, IMAGE_BYTES, false, &err);

    if (result != 0)
        fprintf(stderr, "%s\n", err.text);
    EXPECT(result == 0);
    return header;
}

bool opens(struct luks_header *header, const char *text)
{
    struct secret *passphrase = make_secret(text), *key = NULL;
    int slot = LUKS_KEYSLOT_ANY;
    int result = luks_keyslot_open(&key, &slot, header, passphrase, &err);

    EXPECT(result == 0 || result == -EACCES);
    secret_free(key);
    secret_free(passphrase);
    return result == 0;
}

bool disk_loads(struct disk *disk)
{
    struct luks_header *header = NULL;
    int result = luks_load(&header, disk_read, disk, IMAGE_BYTES, IMAGE_BYTES, false, &err);

    luks_free(header);
    return result == 0;
}

bool disk_opens(struct disk *disk, const char *text)
{
    struct luks_header *header = load(disk);
    bool result = opens(header, text);

    luks_free(header);
    return result;
}

/* ---- keys ---- */

struct luks_new_key make_new_key(const struct secret *passphrase)
{
    return (struct luks_new_key){
        .passphrase = passphrase,
        .pbkdf = { .name = "pbkdf2", .iterations = 1000 },
    };
}

int add_key_as(struct luks_header *header, const char *opened_by, const char *text, int slot)
{
    struct secret *old = make_secret(opened_by), *new = make_secret(text), *key = NULL;
    struct luks_new_key new_key = make_new_key(new);
    int opened = LUKS_KEYSLOT_ANY, result;

    EXPECT(luks_keyslot_open(&key, &opened, header, old, &err) == 0);
    result = luks_keyslot_add(&slot, header, key, &new_key, &err);
    secret_free(old);
    secret_free(new);
    secret_free(key);
    return result < 0 ? result : slot;
}

/* ---- power loss ---- */

static void apply(struct disk *disk, const struct written *entry)
{
    memcpy(disk->bytes + entry->offset_bytes, entry->data, entry->length_bytes);
}

static bool one_opens(struct luks_header *header, const char *witnesses)
{
    char names[64], *rest = names;
    const char *name;
    bool result = false;

    (void)snprintf(names, sizeof names, "%s", witnesses);
    while (!result && (name = strsep(&rest, "|")) != NULL)
        result = opens(header, name);
    return result;
}

static void expect_usable(struct disk *disk, const char *witnesses)
{
    struct luks_header *header = NULL;
    int result = luks_load(&header, disk_read, disk, IMAGE_BYTES, IMAGE_BYTES, false, &err);

    if (witnesses)
        EXPECT(result == 0 && one_opens(header, witnesses));
    else /* of LUKS2: the size of the key is kept with the keys */
        EXPECT(result == 0 || (result == -ENOKEY && strstr(err.text, "(erased?)")));
    luks_free(header);
}

static void keep_state(const struct disk *disk, const char *witnesses)
{
    const char *folder = getenv("LUKS_CHANGE_STATES");
    static unsigned number;
    char path[4096];
    FILE *file;

    if (folder == NULL || witnesses == NULL)
        return;
    (void)snprintf(path, sizeof path, "%s/%u.%s", folder, number++, witnesses);
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
                      const char *witnesses, uint32_t *seed)
{
    struct disk disk = { .bytes = malloc(IMAGE_BYTES) };

    EXPECT(disk.bytes != NULL);
    memcpy(disk.bytes, durable->bytes, IMAGE_BYTES);
    for (size_t i = 0; i < count; i++)
        if (next_random(seed) % 2)
            apply(&disk, &epoch[i]);
    expect_usable(&disk, witnesses);
    keep_state(&disk, witnesses);
    free(disk.bytes);
}

/* In order, and cut after each sector (20 times in key material, which is many of them). */
static void lose_the_end(struct disk *durable, const struct written *epoch, size_t count,
                         const char *witnesses)
{
    size_t step = count > 100 ? count / 20 : 1;

    for (size_t i = 0; i < count; i++) {
        apply(durable, &epoch[i]);
        if (i % (step * LUKS_DISK_SAMPLE) == 0 || i + 1 == count)
            expect_usable(durable, witnesses);
    }
}

unsigned lose_power(const uint8_t *start, const struct disk *done, const char *witnesses)
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
        for (unsigned i = 0; i < 3; i += LUKS_DISK_SAMPLE)
            lose_some(&durable, &done->log[at], end - at, witnesses, &seed);
        lose_the_end(&durable, &done->log[at], end - at, witnesses);
        keep_state(&durable, witnesses);
        flushes++;
    }
    EXPECT(memcmp(durable.bytes, done->bytes, IMAGE_BYTES) == 0);
    free(durable.bytes);
    return flushes;
}

uint8_t *copy_of(const struct disk *disk)
{
    uint8_t *copy = malloc(IMAGE_BYTES);

    EXPECT(copy != NULL);
    memcpy(copy, disk->bytes, IMAGE_BYTES);
    return copy;
}
