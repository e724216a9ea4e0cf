#include "bench/verify-table.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* An entry: 11 bits readers, 2 bits what it is taken for alone (0: it is not), 3 bits content,
 * 48 bits number of the write. */
#define READERS_MASK 0x7ffu
#define USE_SHIFT 11
#define USE_MASK 0x3u
#define CONTENT_SHIFT 13
#define CONTENT_MASK 0x7u
#define NUMBER_SHIFT 16

#define FILE_MAGIC "nbdcrypt-bench verify table 1\n"
#define FILE_HEADER_BYTES 4096u

struct file_header {
    char magic[32];
    struct verify_area area; /* in the byte order of the machine */
};

_Static_assert(sizeof(struct file_header) <= FILE_HEADER_BYTES, "the header has its own page");

/* ---- memory and files ---- */

static uint64_t block_count(const struct verify_area *area)
{
    return area->length_bytes / area->block_bytes;
}

static int open_file(const struct verify_table *table, const char *path, struct error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

    if (fd < 0)
        return error_set(err, -errno, "%s: the state file can't be made: %s", path,
                         strerror(errno));
    if (ftruncate(fd, (off_t)table->mapping_bytes) != 0) {
        int result = -errno;

        close(fd);
        return error_set(err, result, "%s: the state file can't have %llu bytes: %s", path,
                         (unsigned long long)table->mapping_bytes, strerror(-result));
    }
    return fd;
}

/* Entries that are 0 say: unknown. */
int verify_table_create(struct verify_table *table, const struct verify_area *area,
                        const char *path, struct error *err)
{
    int flags = path != NULL ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    int fd = -1;

    *table = (struct verify_table){ .area = *area };
    if (block_count(area) > VERIFY_BLOCKS_MAX)
        return error_set(err, -E2BIG,
                         "the area has %llu blocks, and what is to be verified can have %llu: "
                         "take larger blocks (--block) or a smaller area (--size)",
                         (unsigned long long)block_count(area), VERIFY_BLOCKS_MAX);
    table->mapping_bytes = FILE_HEADER_BYTES + 8 * block_count(area);
    if (path != NULL) {
        fd = open_file(table, path, err);
        if (fd < 0)
            return fd;
    }
    table->mapping = mmap(NULL, table->mapping_bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (fd >= 0)
        close(fd);
    if (table->mapping == MAP_FAILED)
        return error_set(err, -ENOMEM, "not enough memory for a table of %llu blocks",
                         (unsigned long long)block_count(area));
    struct file_header header = { .magic = FILE_MAGIC, .area = *area };
    memcpy(table->mapping, &header, sizeof header);
    table->entries = (void *)((char *)table->mapping + FILE_HEADER_BYTES);
    return 0;
}

static bool header_is_sound(const struct file_header *header, uint64_t file_bytes)
{
    const struct verify_area *area = &header->area;

    return memcmp(header->magic, FILE_MAGIC, sizeof FILE_MAGIC) == 0 && area->block_bytes > 0 &&
           area->length_bytes % area->block_bytes == 0 && block_count(area) > 0 &&
           block_count(area) <= VERIFY_BLOCKS_MAX &&
           file_bytes == FILE_HEADER_BYTES + 8 * block_count(area);
}

static int map_file(struct verify_table *table, int fd, const char *path, struct error *err)
{
    struct file_header header = { .magic = "" };
    struct stat status;

    if (fstat(fd, &status) != 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header ||
        !header_is_sound(&header, (uint64_t)status.st_size))
        return error_set(err, -EINVAL,
                         "%s: this is no state file of nbdcrypt-bench, or a part of "
                         "it is missing",
                         path);
    table->area = header.area;
    table->mapping_bytes = (uint64_t)status.st_size;
    table->mapping = mmap(NULL, table->mapping_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (table->mapping == MAP_FAILED)
        return error_set(err, -errno, "%s: it can't be mapped: %s", path, strerror(errno));
    table->entries = (void *)((char *)table->mapping + FILE_HEADER_BYTES);
    return 0;
}

int verify_table_open(struct verify_table *table, const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    *table = (struct verify_table){ .entries = NULL };
    if (fd < 0)
        return error_set(err, -errno, "%s: the state file can't be opened: %s", path,
                         strerror(errno));
    int result = map_file(table, fd, path, err);
    close(fd);
    return result;
}

void verify_table_close(struct verify_table *table)
{
    if (table->entries != NULL)
        munmap(table->mapping, table->mapping_bytes);
    table->entries = NULL;
}

/* ---- entries ---- */

struct blocks {
    uint64_t first, end;
};

static struct blocks blocks_of(const struct verify_table *table, uint64_t offset_bytes,
                               uint64_t length_bytes)
{
    uint64_t start = offset_bytes - table->area.offset_bytes;

    assert(offset_bytes >= table->area.offset_bytes && length_bytes > 0);
    assert(start + length_bytes <= table->area.length_bytes);
    return (struct blocks){
        .first = start / table->area.block_bytes,
        .end = (start + length_bytes - 1) / table->area.block_bytes + 1,
    };
}

/* The lowest bits of an entry that is taken once for this. */
static uint64_t share_of(enum verify_use use)
{
    return use == VERIFY_READ ? 1 : (uint64_t)use << USE_SHIFT;
}

static bool take_one(_Atomic uint64_t *entry, enum verify_use use)
{
    uint64_t old = atomic_load_explicit(entry, memory_order_relaxed);

    do {
        uint64_t readers = old & READERS_MASK;

        if ((old >> USE_SHIFT & USE_MASK) != 0 || readers == READERS_MASK ||
            (use != VERIFY_READ && readers > 0))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(entry, &old, old + share_of(use),
                                                    memory_order_acquire, memory_order_relaxed));
    return true;
}

static void give_back_one(_Atomic uint64_t *entry, enum verify_use use)
{
    atomic_fetch_sub_explicit(entry, share_of(use), memory_order_release);
}

bool verify_table_take(struct verify_table *table, uint64_t offset_bytes, uint64_t length_bytes,
                       enum verify_use use)
{
    struct blocks blocks = blocks_of(table, offset_bytes, length_bytes);

    for (uint64_t i = blocks.first; i < blocks.end; i++) {
        if (take_one(&table->entries[i], use))
            continue;
        while (i-- > blocks.first)
            give_back_one(&table->entries[i], use);
        return false;
    }
    return true;
}

/* What is there after a write, of whatever kind. */
static uint64_t entry_after(enum verify_use use, uint64_t number)
{
    static const enum verify_content contents[] = {
        [VERIFY_WRITE] = VERIFY_CELLS,
        [VERIFY_ZERO] = VERIFY_ZEROS,
        [VERIFY_TRIM] = VERIFY_UNKNOWN,
    };

    return (uint64_t)contents[use] << CONTENT_SHIFT |
           (use == VERIFY_WRITE ? number << NUMBER_SHIFT : 0);
}

void verify_table_end(struct verify_table *table, uint64_t offset_bytes, uint64_t length_bytes,
                      enum verify_use use, uint64_t number)
{
    struct blocks blocks = blocks_of(table, offset_bytes, length_bytes);

    for (uint64_t i = blocks.first; i < blocks.end; i++) {
        if (use == VERIFY_READ)
            give_back_one(&table->entries[i], use);
        else
            atomic_store_explicit(&table->entries[i], entry_after(use, number),
                                  memory_order_release);
    }
}

struct verify_expectation verify_table_expect(const struct verify_table *table,
                                              uint64_t offset_bytes)
{
    struct blocks blocks = blocks_of(table, offset_bytes, 1);
    uint64_t entry = atomic_load_explicit(&table->entries[blocks.first], memory_order_relaxed);

    return (struct verify_expectation){
        .content = (enum verify_content)(entry >> CONTENT_SHIFT & CONTENT_MASK),
        .number = entry >> NUMBER_SHIFT,
        .pending = (enum verify_use)(entry >> USE_SHIFT & USE_MASK),
    };
}
