/* What a server may answer, judged from all that its clients have sent and been told, and when.
 *
 * Writes carry cells (verify-cell.h), so each cell that is read names the write it came from.
 * Unlike verify.h nothing keeps commands apart: they overlap as they come.  A cell may show any
 * write that no later one had replaced for certain: a later one is one that was sent after the
 * answer to the first, and whose own answer came before the read was sent.  What failed or was
 * never answered may be there, or not, or come later.
 *
 * When a connection is lost, the server may have lost what it had answered and not been told to
 * make durable: such a write replaces nothing for certain any more.  A write is durable when its
 * FUA was answered, or a FLUSH was that was sent after its answer.
 *
 * What the protocol leaves open is not held against a server: a cell that is being written, or was
 * written by two at once, may be a mixture of both.  All functions may be called by any thread. */
#ifndef NBDCRYPT_HISTORY_H
#define NBDCRYPT_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/verify-cell.h"
#include "server/base/error.h"

#define HISTORY_READS_MAX 4096u /* under way at a time */

/* A connection, from the moment before it is made. */
struct history_connection {
    uint64_t made;
    uint64_t alive; /* a command was answered that was sent then: the same server still lives */
};

enum history_kind { HISTORY_WRITE, HISTORY_ZERO, HISTORY_TRIM };

struct history;

struct history_counts {
    uint64_t changes, cells_checked, cells_faulty, cells_mixed, losses;
};

/* `offset_bytes` and `length_bytes` are multiples of CELL_BYTES. */
NODISCARD int history_create(struct history **out, uint64_t seed, uint64_t offset_bytes,
                             uint64_t length_bytes, struct error *err);
void history_free(struct history *history);
struct history_counts history_counts(struct history *history);

/* The moment: later ones are greater. */
uint64_t history_moment(struct history *history);

/* A command that changes cells is about to be sent: its number, from 1. */
uint64_t history_change_begins(struct history *history, enum history_kind kind,
                               uint64_t offset_bytes, uint32_t length_bytes);
void history_fill(const struct history *history, uint64_t number, uint8_t *out,
                  uint64_t offset_bytes, uint32_t length_bytes);
/* It was answered.  So whoever serves this connection is there still, and what was answered on it
 * is not lost, whatever connection was. */
void history_change_answered(struct history *history, uint64_t number, bool success, bool fua,
                             struct history_connection *connection);
/* A FLUSH that was sent at `sent` was answered. */
void history_flushed(struct history *history, uint64_t sent, bool success);
/* A connection is gone, other than by our wish. */
void history_lost(struct history *history);

/* The moment at which a read is sent; history_read_ends() is due for each. */
uint64_t history_read_begins(struct history *history);
/* `data`: what was read; NULL: it was not answered, or with an error.  Faults are told on standard
 * error, the first ten of them. */
void history_read_ends(struct history *history, uint64_t sent, const uint8_t *data,
                       uint64_t offset_bytes, uint32_t length_bytes);

#endif
