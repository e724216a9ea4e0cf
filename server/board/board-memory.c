/* The mapping, and its rows. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/board/board-layout.h"

#define WORKERS_MAX 65536u /* of a board that somebody else made */

_Static_assert(sizeof(struct board_line_row) == 256, "a line takes four units");
_Static_assert(sizeof(struct board_command_row) == BOARD_UNIT_BYTES, "a command is a cache line");

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t board_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t board_since_ns(const struct board *board)
{
    return board->head->since_ns;
}

uint64_t board_realtime_ns(const struct board *board, uint64_t time_ns)
{
    return time_ns - board->head->since_ns + board->head->since_realtime_ns;
}

uint64_t board_lost(const struct board *board)
{
    return board_get(&board->head->lost);
}

enum board_end board_end_of(const struct board *board)
{
    return (enum board_end)board_get_first(&board->head->end);
}

int board_fd(const struct board *board)
{
    return board->fd;
}

unsigned board_workers(const struct board *board)
{
    return board->head->workers;
}

/* ---- rows ---- */

static uint32_t round_up(size_t bytes, uint32_t unit_bytes)
{
    return (uint32_t)((bytes + unit_bytes - 1) / unit_bytes * unit_bytes);
}

uint32_t board_row_bytes(const struct board *board, enum board_kind kind)
{
    switch (kind) {
    case BOARD_CONNECTION_ROWS:
        return sizeof(struct board_connection_row);
    case BOARD_COMMAND_ROWS:
        return BOARD_COMMANDS * sizeof(struct board_command_row);
    case BOARD_EXPORT_ROWS:
        return board->head->export_row_bytes;
    case BOARD_FIGURE_ROWS:
        return sizeof(struct board_figure_row);
    case BOARD_NO_ROWS:
    case BOARD_KINDS:
        break;
    }
    return BOARD_CHUNK_BYTES;
}

/* Its memory is there from then on: without it a store would end the process.  Nothing else of the
 * mapping can be read or written, by mistake either. */
static bool populate(void *start, size_t bytes)
{
    if (mprotect(start, bytes, PROT_READ | PROT_WRITE) < 0)
        return false;
    if (madvise(start, bytes, MADV_POPULATE_WRITE) == 0)
        return true;
    return errno == EINVAL; /* before Linux 5.14 */
}

static void push(const struct board *board, enum board_kind kind, board_place first,
                 board_place last)
{
    uint64_t *head = &board->head->free[kind], old = board_get(head), new;

    do {
        board_put((uint32_t *)board_at(board, last), (uint32_t)old);
        new = ((old >> 32) + 1) << 32 | first;
    } while (
        !__atomic_compare_exchange_n(head, &old, new, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static board_place pop(const struct board *board, enum board_kind kind)
{
    uint64_t *head = &board->head->free[kind], old = board_get_first(head), new;
    board_place place;

    do {
        place = (board_place)old;
        if (place == 0)
            return 0;
        /* It may have been taken meanwhile: then the count has gone up, and this is not used. */
        new = ((old >> 32) + 1) << 32 | board_get((uint32_t *)board_at(board, place));
    } while (
        !__atomic_compare_exchange_n(head, &old, new, true, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE));
    return place;
}

/* A chunk of rows: the first is the caller's. */
static board_place add_chunk(const struct board *board, enum board_kind kind)
{
    struct board_head *head = board->head;
    uint32_t chunk = __atomic_fetch_add(&head->chunks, 1, __ATOMIC_RELAXED);
    uint32_t row_units = board_row_bytes(board, kind) / BOARD_UNIT_BYTES;
    uint32_t rows = BOARD_CHUNK_BYTES / BOARD_UNIT_BYTES / row_units;

    if (chunk >= head->chunks_max) {
        __atomic_fetch_sub(&head->chunks, 1, __ATOMIC_RELAXED);
        return 0;
    }
    board_place first = head->chunks_at + chunk * (BOARD_CHUNK_BYTES / BOARD_UNIT_BYTES);
    if (!populate(board_at(board, first), BOARD_CHUNK_BYTES))
        return 0; /* it is not tried again: what others look at has its memory */
    board_put_last(&head->directory[chunk], (uint8_t)kind);
    for (uint32_t i = 1; i + 1 < rows; i++)
        board_put((uint32_t *)board_at(board, first + i * row_units), first + (i + 1) * row_units);
    if (rows > 1)
        push(board, kind, first + row_units, first + (rows - 1) * row_units);
    return first;
}

board_place board_row_take(const struct board *board, enum board_kind kind)
{
    board_place place = pop(board, kind);

    if (place == 0)
        place = add_chunk(board, kind);
    if (place == 0)
        __atomic_fetch_add(&board->head->lost, 1, __ATOMIC_RELAXED);
    return place;
}

void board_row_give(const struct board *board, enum board_kind kind, board_place place)
{
    push(board, kind, place, place);
}

board_place board_row_next(const struct board *board, enum board_kind kind, board_cursor *cursor)
{
    const struct board_head *head = board->head;
    uint32_t row_bytes = board_row_bytes(board, kind);
    uint32_t rows = BOARD_CHUNK_BYTES / row_bytes, chunks = board_get(&head->chunks);

    if (kind == BOARD_COMMAND_ROWS) { /* one by one here */
        row_bytes /= BOARD_COMMANDS;
        rows *= BOARD_COMMANDS;
    }
    if (chunks > head->chunks_max)
        chunks = head->chunks_max;
    for (uint64_t chunk = *cursor >> 32; chunk < chunks; chunk++, *cursor = chunk << 32) {
        uint32_t row = (uint32_t)*cursor;

        if (board_get_first(&head->directory[chunk]) != kind || row >= rows)
            continue;
        ++*cursor;
        return head->chunks_at + (uint32_t)(chunk * (BOARD_CHUNK_BYTES / BOARD_UNIT_BYTES)) +
               row * (row_bytes / BOARD_UNIT_BYTES);
    }
    return 0;
}

/* ---- text ---- */

void board_words_put(void *row, const void *from, size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof(uint64_t); i++) {
        uint64_t word;

        memcpy(&word, (const uint8_t *)from + i * sizeof word, sizeof word);
        board_put_last((uint64_t *)row + i, word);
    }
}

void board_words_get(void *out, const void *row, size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof(uint64_t); i++) {
        uint64_t word = board_get_first((const uint64_t *)row + i);

        memcpy((uint8_t *)out + i * sizeof word, &word, sizeof word);
    }
}

void board_text_put(char *row, const char *text, size_t bytes)
{
    /* NOLINTNEXTLINE(bugprone-branch-clone): they are equal at present */
    char copy[BOARD_PEER_BYTES > BOARD_LINE_BYTES ? BOARD_PEER_BYTES : BOARD_LINE_BYTES] = { 0 };
    size_t length = strnlen(text, bytes);

    if (length == bytes) { /* cut: not within a character */
        length--;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
            length--;
    }
    memcpy(copy, text, length);
    board_words_put(row, copy, bytes);
}

/* ---- making it ---- */

/* A size that is limited to fewer bytes (RLIMIT_FSIZE, RLIMIT_AS) is tried a quarter as large. */
static void *map_memfd(int fd, uint64_t least_bytes, uint64_t *bytes)
{
    for (; *bytes >= least_bytes; *bytes /= 4) {
        if (ftruncate(fd, (off_t)*bytes) < 0)
            continue;
        void *memory = mmap(NULL, *bytes, PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd, 0);
        if (memory != MAP_FAILED)
            return memory;
    }
    return MAP_FAILED;
}

static void *map(int *fd, uint64_t least_bytes, uint64_t *bytes)
{
    void *memory = MAP_FAILED;

    *fd = memfd_create("nbdcrypt-board", MFD_CLOEXEC);
    if (*fd >= 0) {
        memory = map_memfd(*fd, least_bytes, bytes);
        if (memory != MAP_FAILED)
            return memory;
        close(*fd);
        *fd = -1;
    }
    *bytes = least_bytes;
    return mmap(NULL, *bytes, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void lay_out(struct board_head *head, unsigned workers, uint64_t bytes)
{
    uint32_t at = round_up(sizeof *head, BOARD_UNIT_BYTES);

    head->workers = workers;
    head->bytes = bytes;
    head->workers_at = at / BOARD_UNIT_BYTES;
    at += workers * (uint32_t)sizeof(struct board_worker_row);
    head->lines_at = at / BOARD_UNIT_BYTES;
    at += BOARD_LINES * (uint32_t)sizeof(struct board_line_row);
    head->spare_at = at / BOARD_UNIT_BYTES;
    at = round_up(at + sizeof(struct board_spare), BOARD_CHUNK_BYTES);
    head->chunks_at = at / BOARD_UNIT_BYTES;
    head->export_row_bytes =
        round_up(sizeof(struct board_export_row) + workers * sizeof(board_place), BOARD_UNIT_BYTES);
    if (bytes > at)
        head->chunks_max = (uint32_t)((bytes - at) / BOARD_CHUNK_BYTES);
    if (head->chunks_max > BOARD_CHUNKS_MAX)
        head->chunks_max = BOARD_CHUNKS_MAX;
}

int board_create(struct board **out, unsigned workers, struct error *err)
{
    struct board_head plan = { 0 };
    struct board *board = calloc(1, sizeof *board);

    lay_out(&plan, workers, 0);
    uint64_t least_bytes = ((uint64_t)plan.chunks_at * BOARD_UNIT_BYTES) + 64 * BOARD_CHUNK_BYTES;
    uint64_t bytes = (uint64_t)BOARD_CHUNKS_MAX * BOARD_CHUNK_BYTES;
    if (board == NULL)
        return error_no_memory(err, "for the board");
    void *memory = map(&board->fd, least_bytes, &bytes);
    if (memory == MAP_FAILED) {
        int result = -errno;

        free(board);
        return error_set(err, result, "not enough memory to tell others of the server: %s",
                         strerror(-result));
    }
    board->head = memory;
    if (!populate(memory, (uint64_t)plan.chunks_at * BOARD_UNIT_BYTES)) {
        munmap(memory, bytes);
        if (board->fd >= 0)
            close(board->fd);
        free(board);
        return error_no_memory(err, "to tell others of the server");
    }
    lay_out(board->head, workers, bytes);
    board->head->since_ns = board_now_ns();
    board->head->since_realtime_ns = clock_ns(CLOCK_REALTIME);
    board_put_last(&board->head->magic, BOARD_MAGIC);
    *out = board;
    return 0;
}

/* It may be of a server that something has broken: then it is not looked at. */
static bool is_laid_out(const struct board_head *head, uint64_t file_bytes)
{
    struct board_head plan = { 0 };

    if (head->magic != BOARD_MAGIC || head->workers > WORKERS_MAX || head->bytes > file_bytes)
        return false;
    lay_out(&plan, head->workers, head->bytes);
    return head->bytes > (uint64_t)plan.chunks_at * BOARD_UNIT_BYTES &&
           head->workers_at == plan.workers_at && head->lines_at == plan.lines_at &&
           head->spare_at == plan.spare_at && head->chunks_at == plan.chunks_at &&
           head->chunks_max == plan.chunks_max && head->export_row_bytes == plan.export_row_bytes;
}

/* Another process may look at the same time. */
bool board_take_report(int fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    const uint32_t reported = BOARD_CRASHED;
    const off_t at = offsetof(struct board_head, end);
    uint32_t end = BOARD_ENDS;

    if (fcntl(fd, F_SETLKW, &lock) < 0 || pread(fd, &end, sizeof end, at) != sizeof end)
        return false;
    bool mine = end == BOARD_RUNS && pwrite(fd, &reported, sizeof reported, at) == sizeof reported;
    lock.l_type = F_UNLCK;
    (void)fcntl(fd, F_SETLK, &lock);
    return mine;
}

int board_open(struct board **out, int fd, struct error *err)
{
    struct board_head head;
    struct board *board;
    struct stat facts;

    if (fstat(fd, &facts) < 0 || pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head ||
        !is_laid_out(&head, (uint64_t)facts.st_size))
        return error_set(err, -EPROTO, "this is not the board of this version of nbdcrypt");
    board = calloc(1, sizeof *board);
    if (board == NULL)
        return error_no_memory(err, "for the board");
    void *memory = mmap(NULL, head.bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        int result = -errno;

        free(board);
        return error_set(err, result, "the board can't be mapped: %s", strerror(-result));
    }
    *board = (struct board){ .head = memory, .fd = -1 };
    *out = board;
    return 0;
}

void board_destroy(struct board *board)
{
    if (board == NULL)
        return;
    munmap(board->head, board->head->bytes);
    if (board->fd >= 0)
        close(board->fd);
    free(board);
}
