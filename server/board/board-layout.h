/* How the board lies in memory: for the files of this folder, and inline for the owners of rows.
 *
 *     head | worker rows | lines | spare rows | chunk | chunk | ...
 *
 * A chunk has rows of one kind, which its entry in the directory tells once they are there.  Rows
 * are taken and given back, by any thread; chunks stay to the end.  A row's place is its offset in
 * units of BOARD_UNIT_BYTES; 0 is no row.
 *
 * Numbers are read and written one by one, and so is text, word by word: nobody waits.  Where
 * several belong together, a sequence number tells a reader that they changed meanwhile.  No
 * fences, which the thread sanitizer does not know: what must be seen after the sequence number is
 * stored with release, and loaded with acquire by who looks at it again. */
#ifndef NBDCRYPT_BOARD_LAYOUT_H
#define NBDCRYPT_BOARD_LAYOUT_H

#include <stdalign.h>

#include "server/board/board.h"
#include "server/loop/loop.h"

#define BOARD_MAGIC UINT64_C(0x0003647261796264) /* raised with every change of this file */
#define BOARD_UNIT_BYTES 64u
#define BOARD_CHUNK_BYTES 65536u
#define BOARD_CHUNKS_MAX 16384u /* 1 GiB */
#define BOARD_COMMANDS 32u      /* rows of commands that are taken together */
#define BOARD_RINGS 2u          /* of lines: our own, and those about clients, who could say much */
#define BOARD_RING_LINES (BOARD_LINES / BOARD_RINGS)

/* ---- numbers that one thread writes and others read ---- */

#define board_get(address) __atomic_load_n(address, __ATOMIC_RELAXED)
#define board_put(address, value) __atomic_store_n(address, value, __ATOMIC_RELAXED)
/* By the only one who writes to it, so that one instruction does, without a lock of the bus. */
static inline void board_add(uint64_t *address, uint64_t value)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    __asm__("addq %1, %0" : "+m"(*address) : "er"(value));
#else
    board_put(address, board_get(address) + value);
#endif
}
/* After those before it, and before those after it. */
#define board_get_first(address) __atomic_load_n(address, __ATOMIC_ACQUIRE)
#define board_put_last(address, value) __atomic_store_n(address, value, __ATOMIC_RELEASE)

/* ---- rows ---- */

enum board_kind {
    BOARD_NO_ROWS, /* it is being made, or there was no memory for it */
    BOARD_CONNECTION_ROWS,
    BOARD_COMMAND_ROWS,
    BOARD_EXPORT_ROWS,
    BOARD_FIGURE_ROWS,
    BOARD_KINDS
};

struct board_worker_row {
    alignas(BOARD_UNIT_BYTES) struct loop_turns turns; /* the loop's */
    uint64_t answered_ns, buffers_bytes;
    uint32_t tid, connections, parked, commands;
};

struct board_connection_row {
    alignas(BOARD_UNIT_BYTES) uint32_t next; /* free; a place */
    uint32_t worker;
    uint64_t sequence; /* odd while what follows changes, up to the text */
    uint64_t id;       /* 0: free */
    uint64_t export_id;
    uint64_t since_ns, attached_ns;
    uint32_t state;
    board_place export;
    char peer[BOARD_PEER_BYTES];
    char tls[BOARD_TLS_BYTES];

    uint64_t requests, errors, bytes[BOARD_OPS];
    uint32_t in_flight, waits;

    /* A command that a limit holds back, which has no row yet; held_since_ns is 0: none. */
    uint64_t held_since_ns, held_offset_bytes, held_length_bytes;
    uint32_t held_op;
};

/* What is stored from `connection` on is of one command when `sequence` was the same before and
 * after; a start_ns of 0 says that there is none. */
struct board_command_row {
    alignas(BOARD_UNIT_BYTES) uint32_t next; /* free; of the first of BOARD_COMMANDS */
    board_place connection;
    uint64_t sequence;
    uint64_t start_ns;
    uint64_t offset_bytes, length_bytes;
    uint32_t op, phase;
    uint64_t backend_ns; /* its owner's: when it went to storage, then how long it was there */
    uint64_t throttled_until_ns; /* before start_ns: that was another command */
};

struct board_figure_row {
    alignas(BOARD_UNIT_BYTES) uint32_t next; /* free; a place */
    uint32_t users;                          /* the worker's */
    board_place export;
    uint32_t worker;
    struct board_figures figures;
};

/* Figures that are left when their worker has nobody attached are moved to `retired`: `begun` goes
 * up before that, and `done` when they are there. */
struct board_export_row {
    alignas(BOARD_UNIT_BYTES) uint32_t next; /* free; a place */
    uint32_t connections;
    uint64_t id;       /* 0: free */
    uint64_t sequence; /* of id and name */
    uint64_t begun, done;
    board_place retired;
    board_place before, after; /* the export that this one replaces, and that replaces it; or 0 */
    uint64_t slow_ns, limits[BOARD_LIMITS];
    uint64_t slow; /* of its figures, which workers do not count */
    char name[BOARD_NAME_BYTES];
    board_place live[]; /* one for each worker */
};

struct board_line_row {
    alignas(BOARD_UNIT_BYTES) uint64_t number; /* 0: empty; BOARD_BUSY: it is being written */
    uint64_t time_ns;
    uint64_t level;
    char text[BOARD_LINE_BYTES];
};
#define BOARD_BUSY UINT64_MAX

/* ---- the whole ---- */

struct board_head {
    uint64_t magic;
    uint64_t bytes; /* that are mapped */
    uint64_t since_ns, since_realtime_ns;
    uint32_t workers;
    uint32_t chunks_max;
    uint32_t workers_at, lines_at, spare_at, chunks_at; /* places */
    uint32_t export_row_bytes;

    alignas(BOARD_UNIT_BYTES) uint32_t chunks; /* taken so far */
    uint32_t end;                              /* enum board_end */
    uint64_t lost;
    uint64_t connections; /* ids given so far */
    uint64_t slow_ns;     /* the shortest of an export; 0: none has one */
    uint64_t lines;
    uint32_t ring_lines[BOARD_RINGS];
    uint64_t free[BOARD_KINDS]; /* the first of each kind; a count of changes in the upper half */

    /* What exports had that have gone. */
    uint64_t gone_begun, gone_done;
    struct board_figure_row gone;
    struct board_histogram handshakes[2]; /* without TLS, under TLS */
    struct board_histogram tls_handshakes;
    uint8_t directory[BOARD_CHUNKS_MAX]; /* enum board_kind */
};

struct board {
    struct board_head *head;
    int fd; /* -1: none */
};

/* Written to when there is no room for rows; nobody looks at them. */
struct board_spare {
    struct board_connection_row connection;
    struct board_command_row commands[BOARD_COMMANDS];
    struct board_figure_row figures;
};

static inline void *board_at(const struct board *board, board_place place)
{
    return (uint8_t *)board->head + (uint64_t)place * BOARD_UNIT_BYTES;
}

/* For observers: a row that a broken server says is there, or what is always there. */
static inline const void *board_look_at(const struct board *board, board_place place, size_t bytes)
{
    bool inside = (uint64_t)place * BOARD_UNIT_BYTES + bytes <= board->head->bytes;

    return inside ? board_at(board, place) : board->head;
}

static inline board_place board_place_of(const struct board *board, const void *row)
{
    return (board_place)((uint64_t)((const uint8_t *)row - (const uint8_t *)board->head) /
                         BOARD_UNIT_BYTES);
}

/* One row (BOARD_COMMAND_ROWS: BOARD_COMMANDS of them), as it was given back, zeroed before it is
 * taken the first time; 0: there is no room, which is counted.  Any thread. */
board_place board_row_take(const struct board *board, enum board_kind kind);
void board_row_give(const struct board *board, enum board_kind kind, board_place place);
/* Rows of a kind that are taken together, in bytes. */
uint32_t board_row_bytes(const struct board *board, enum board_kind kind);
/* The row at that place of the walk, or the next one; 0: there are no more. */
board_place board_row_next(const struct board *board, enum board_kind kind, board_cursor *cursor);

/* Copies of text and numbers that others may read, or write: count of words of 8 bytes. */
void board_words_put(void *row, const void *from, size_t bytes);
void board_words_get(void *out, const void *row, size_t bytes);
/* As much of `text` as there is room for, and NULs up to the end; whole characters of UTF-8. */
void board_text_put(char *row, const char *text, size_t bytes);

#endif
