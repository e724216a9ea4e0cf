/* The writing side of the board: each row has one owner, who alone writes to it.  What belongs to
 * one request is inline and without branches: some stores of numbers, no lock, no instruction that
 * locks the bus.  Where there is no room for a row the owner gets a spare one, which nobody sees:
 * these functions do not fail. */
#ifndef NBDCRYPT_BOARD_OWNER_H
#define NBDCRYPT_BOARD_OWNER_H

#include <string.h>

#include "server/board/board-layout.h"

/* Any thread, and handlers of signals. */
void board_say_end(const struct board *board, enum board_end end);

/* ---- workers: the worker's thread ---- */

struct board_worker_row *board_worker_row(const struct board *board, unsigned index);

/* ---- connections: the worker's thread ---- */

/* A new one, in its handshake, with an id of its own. */
struct board_connection_row *board_connection_begin(const struct board *board, unsigned worker,
                                                    const char *peer);
void board_connection_move(struct board_connection_row *row, enum board_state state);
/* It is known better now; `tls`: "" for none. */
void board_connection_describe(struct board_connection_row *row, const char *peer, const char *tls);
/* Its export is there: BOARD_TRANSMISSION from now on. */
void board_connection_attach(const struct board *board, struct board_connection_row *row,
                             board_place export);
/* It has been so long since it was accepted, and it has its export. */
void board_handshake_took(const struct board *board, bool tls, uint64_t ns);
void board_tls_handshake_took(const struct board *board, uint64_t ns);
/* A limit holds its next command back, and does so no more. */
void board_connection_hold(struct board_connection_row *row, enum board_op op,
                           uint64_t offset_bytes, uint64_t length_bytes, uint64_t since_ns);
void board_connection_let_go(struct board_connection_row *row);
/* The row is another's from then on. */
void board_connection_end(const struct board *board, struct board_connection_row *row);

/* ---- exports: one thread at a time for one export ---- */

/* A row for an export; BOARD_NOWHERE: there was no room, and it is not seen. */
board_place board_export_begin(const struct board *board, uint64_t id, const char *name);
/* A new one takes the place of an old one, which goes: what that had, and still gets, counts for
 * the new one. */
void board_export_replace(const struct board *board, board_place old, board_place new);
/* What holds for it from now on. */
void board_export_limit(const struct board *board, board_place place, uint64_t slow_ns,
                        const uint64_t limits[BOARD_LIMITS]);
/* A request of it was seen to be slow; any thread. */
void board_export_was_slow(const struct board *board, board_place place);
/* No worker has figures of it any more.  What it had is that of who replaced it, or kept for
 * BOARD_GONE. */
void board_export_end(const struct board *board, board_place place);

/* ---- figures: the worker's thread ---- */

/* One more client of this worker is attached to that export: where they are counted. */
struct board_figure_row *board_figures_begin(const struct board *board, board_place export,
                                             unsigned worker);
/* One less; the last one's figures move to those of the export.  True: so it was. */
bool board_figures_end(const struct board *board, struct board_figure_row *row);

/* For what is not to be counted. */
struct board_figures *board_spare_figures(const struct board *board);

/* A float has its octave in front, and the quarter of it behind that: so its first bits are the
 * bucket.  It rounds, by less than a ten-millionth. */
#define BOARD_DURATION_MAX_US ((float)(1u << BOARD_DURATION_OCTAVES))
static inline size_t board_bucket(uint64_t ns)
{
    const float least_us = 1, most_us = BOARD_DURATION_MAX_US;
    float us = (float)(int64_t)ns * 1e-3f;
    uint32_t bits;

#ifdef __SSE2__ /* of C's conditions a compiler makes branches */
    __asm__("maxss %1, %0\n\tminss %2, %0" : "+x"(us) : "xm"(least_us), "xm"(most_us));
#else
    us = us > least_us ? us : least_us;
    us = us < most_us ? us : most_us;
#endif
    memcpy(&bits, &us, sizeof bits);
    return (size_t)(bits >> 21) - (127u << 2);
}

/* So that an address is calculated once. */
#define BOARD_IS_THERE(pointer) __asm__("" : "+r"(pointer))

static inline void board_record(struct board_histogram *histogram, uint64_t ns)
{
    board_add(&histogram->sum_ns, ns);
    board_add(&histogram->counts[board_bucket(ns)], 1);
}

/* ---- commands: the worker's thread ---- */

/* BOARD_COMMANDS rows in a row, free. */
struct board_command_row *board_commands_begin(const struct board *board);
void board_commands_end(const struct board *board, struct board_command_row *rows);

static inline void board_command_begin(struct board_command_row *row, board_place connection,
                                       uint32_t op, uint64_t offset_bytes, uint64_t length_bytes,
                                       uint64_t now_ns)
{
    board_add(&row->sequence, 1);
    board_put_last(&row->connection, connection);
    board_put_last(&row->op, op);
    board_put_last(&row->phase, BOARD_BACKEND); /* unless it waits before that */
    board_put_last(&row->offset_bytes, offset_bytes);
    board_put_last(&row->length_bytes, length_bytes);
    board_put_last(&row->backend_ns, now_ns);
    board_put_last(&row->start_ns, now_ns);
}

/* Of one that has just begun: a limit has held it back since then. */
static inline void board_command_was_throttled(struct board_command_row *row, uint64_t since_ns)
{
    board_put(&row->throttled_until_ns, board_get(&row->start_ns));
    board_put_last(&row->start_ns, since_ns);
}

static inline void board_command_move(struct board_command_row *row, enum board_phase phase)
{
    board_put(&row->phase, phase);
}

static inline void board_command_end(struct board_command_row *row)
{
    board_put(&row->start_ns, 0);
}

/* ---- lines: any thread ---- */

/* From now on what this process says in its log is on it; NULL, before the board goes: it is not.
 */
void board_keep_log(const struct board *board);

/* `about_client`: somebody else may cause many of them; they do not push out the others.  `text` is
 * cut where it is too long, and escaped. */
void board_line(const struct board *board, int level, bool about_client, const char *text);

#endif
