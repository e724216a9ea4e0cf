#include "tests/sim/ring-tables.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/random.h"
#include "tests/sim/ring-calls.h"
#include "tests/sim/ring-kernel.h"
#include "tests/sim/trace.h"

#define FILES_MAX 64u

/* A descriptor: of an eventfd, or of a file. */
struct file {
    bool open, is_eventfd;
    uint64_t count;
};

struct tables {
    const struct io_uring *ring;
    int *files;
    const void **memory;
    unsigned file_count, memory_count;
    struct tables *next;
};

static struct file files[FILES_MAX];
static struct tables *all;

/* They are made when they are first asked for. */
static struct tables *tables_of(const struct io_uring *ring)
{
    struct tables *tables = all;

    while (tables != NULL && tables->ring != ring)
        tables = tables->next;
    if (tables != NULL)
        return tables;
    tables = calloc(1, sizeof(*tables));
    if (tables == NULL)
        sim_fail("no memory");
    *tables = (struct tables){ .ring = ring, .next = all };
    all = tables;
    return tables;
}

void ring_tables_go(const struct io_uring *ring)
{
    struct tables *tables = tables_of(ring), **link = &all;

    while (*link != tables)
        link = &(*link)->next;
    *link = tables->next;
    free(tables->files);
    free(tables->memory);
    free(tables);
}

/* ---- descriptors ---- */

static int new_descriptor(bool is_eventfd)
{
    for (unsigned i = 0; i < FILES_MAX; i++) {
        if (files[i].open)
            continue;
        files[i] = (struct file){ .open = true, .is_eventfd = is_eventfd };
        return RING_FD_FIRST + (int)i;
    }
    sim_fail("too many descriptors");
}

static struct file *file_of(int fd)
{
    if (fd < RING_FD_FIRST || fd >= RING_FD_FIRST + (int)FILES_MAX ||
        !files[fd - RING_FD_FIRST].open)
        sim_fail("descriptor %d is used, and is not open", fd);
    return &files[fd - RING_FD_FIRST];
}

int ring_file_open(void)
{
    return new_descriptor(false);
}

unsigned ring_files_open(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < FILES_MAX; i++)
        count += files[i].open;
    return count;
}

int __wrap_eventfd(unsigned count, int flags)
{
    (void)count;
    (void)flags;
    return new_descriptor(true);
}

static void check_nobody_has(int fd)
{
    for (const struct tables *tables = all; tables != NULL; tables = tables->next)
        for (unsigned i = 0; i < tables->file_count; i++)
            if (tables->files[i] == fd)
                sim_fail("descriptor %d is closed, and stays open in slot %u of a ring", fd, i);
    if (ring_kernel_uses(fd))
        sim_fail("descriptor %d is closed with an operation in flight", fd);
}

int __wrap_close(int fd)
{
    if (fd < RING_FD_FIRST)
        return __real_close(fd);
    check_nobody_has(fd);
    file_of(fd)->open = false;
    return 0;
}

uint64_t *ring_eventfd_count(int fd)
{
    struct file *file = file_of(fd);

    return file->is_eventfd ? &file->count : NULL;
}

/* ---- tables ---- */

static bool table_fails(void)
{
    if (!random_chance(STREAM_DISK, ring_settings.no_memory))
        return false;
    ring_marks[RING_MARK_table_failed]++;
    return true;
}

int io_uring_register_files_sparse(struct io_uring *user, unsigned count)
{
    struct tables *tables = tables_of(user);

    if (ring_settings.age > RING_COOPERATES || table_fails())
        return -EINVAL;
    tables->files = malloc(count * sizeof(*tables->files));
    tables->file_count = count;
    for (unsigned i = 0; i < count; i++)
        tables->files[i] = -1;
    return 0;
}

int io_uring_register_files_update(struct io_uring *user, unsigned slot, const int *descriptors,
                                   unsigned count)
{
    struct tables *tables = tables_of(user);

    if (count != 1 || slot >= tables->file_count)
        sim_fail("slot %u of %u files is used", slot, tables->file_count);
    if (descriptors[0] >= 0) {
        if (tables->files[slot] >= 0)
            sim_fail("slot %u of the file table is given to two", slot);
        if (table_fails())
            return -ENOMEM;
        (void)file_of(descriptors[0]);
    }
    tables->files[slot] = descriptors[0];
    return 1;
}

int io_uring_unregister_files(struct io_uring *user)
{
    tables_of(user)->file_count = 0;
    return 0;
}

int io_uring_register_buffers_sparse(struct io_uring *user, unsigned count)
{
    struct tables *tables = tables_of(user);

    if (ring_settings.age > RING_COOPERATES || table_fails())
        return -EINVAL;
    tables->memory = calloc(count, sizeof(*tables->memory));
    tables->memory_count = count;
    return 0;
}

int io_uring_register_buffers_update_tag(struct io_uring *user, unsigned slot,
                                         const struct iovec *pieces, const __u64 *tags,
                                         unsigned count)
{
    struct tables *tables = tables_of(user);

    (void)tags;
    if (count != 1 || slot >= tables->memory_count)
        sim_fail("slot %u of %u for memory is used", slot, tables->memory_count);
    if (pieces[0].iov_base != NULL) {
        if (tables->memory[slot] != NULL)
            sim_fail("slot %u of the registered memory is given to two", slot);
        if (table_fails())
            return -ENOMEM;
    }
    tables->memory[slot] = pieces[0].iov_base;
    return 1;
}

int io_uring_unregister_buffers(struct io_uring *user)
{
    tables_of(user)->memory_count = 0;
    return 0;
}

void ring_memory_goes(const void *base)
{
    for (const struct tables *tables = all; tables != NULL; tables = tables->next)
        for (unsigned i = 0; i < tables->memory_count; i++)
            if (tables->memory[i] == base)
                sim_fail("memory is unmapped that a ring keeps");
}

int ring_table_file(const struct io_uring *ring, int slot)
{
    const struct tables *tables = tables_of(ring);

    if ((unsigned)slot >= tables->file_count || tables->files[slot] < 0)
        sim_fail("slot %d of the file table is used, and is empty", slot);
    return tables->files[slot];
}

const void *ring_table_memory(const struct io_uring *ring, unsigned slot)
{
    const struct tables *tables = tables_of(ring);

    if (slot >= tables->memory_count || tables->memory[slot] == NULL)
        sim_fail("slot %u of the registered memory is used, and is empty", slot);
    return tables->memory[slot];
}
