/* What clients may see.  The export is cells of 64 bytes; whatever a client writes into one tells
 * which command it was of, so each cell that is read names the command it came from, or is of
 * zeros.
 *
 * For each cell there is a list of the commands that may have set it last.  One of them is out as
 * soon as a later one was answered before the read was sent: concurrent ones stay possible, in any
 * order, and so do those that failed or were never answered.  A command is durable when it was
 * answered with FUA, or before a FLUSH was sent that succeeded, on any connection.  A power cut
 * leaves what no durable command has replaced. */
#ifndef NBDCRYPT_SIM_ORACLE_H
#define NBDCRYPT_SIM_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

#define CELL_BYTES 64u

struct change; /* a command that changes cells */

enum change_kind {
    CHANGE_WRITE,
    CHANGE_ZERO,
    CHANGE_TRIM, /* what is there afterwards is open; see `trim_is_zero_or_old` */
};

struct oracle_settings {
    uint64_t size_bytes;
    uint64_t desert_bytes;    /* nobody writes or reads there; but what is zeroed may begin there */
    bool starts_as_zeros;     /* else as anything */
    bool trim_is_zero_or_old; /* else anything */
    uint32_t block_bytes;  /* at its edges a change writes again what was there, in such blocks */
    bool halves_are_noise; /* while a cell is being written, it may be seen as noise */
};

void oracle_init(const struct oracle_settings *settings);
/* The first 8 bytes of every cell that a client wrote. */
uint64_t oracle_marker(void);

/* It is about to be sent. */
struct change *oracle_change_begins(enum change_kind kind, uint64_t offset_bytes,
                                    uint64_t length_bytes);
void oracle_fill(const struct change *change, uint8_t *out);
/* Answered: with success, and then also whether it is durable, or with an error. */
void oracle_change_answered(struct change *change, bool success, bool durable);

/* The moment at which a FLUSH is sent. */
uint64_t oracle_moment(void);
/* The same of a read, until it has been checked or will never be. */
uint64_t oracle_read_begins(void);
void oracle_read_ends(uint64_t sent);
/* Fails the simulation where a cell can't be so. */
void oracle_check_read(uint64_t sent, uint64_t offset_bytes, uint32_t length_bytes,
                       const uint8_t *data, unsigned who);
/* BLOCK_STATUS says that it reads as zeros; checked as a read of zeros, and it has to stay so. */
void oracle_check_zeros(uint64_t sent, uint64_t offset_bytes, uint64_t length_bytes, unsigned who);
void oracle_flushed(uint64_t sent);
/* The same of one that the server has sent for itself, at its end or before it closes an image.  Of
 * a remote disk that says nothing of what was answered before it was opened: nobody has promised
 * that
 * (`since_start` in server/block/flusher.h), and where nothing was answered since, the store, which
 * may be gone, is not asked. */
void oracle_flushed_by_itself(uint64_t sent, bool remote);
/* Of what had been answered nothing is durable any more by a later FLUSH: the first has told of it.
 */
void oracle_flush_failed(void);
/* Whether a power cut may lose a write that was answered.  `told`: the moment at which a FLUSH
 * failed, for who heard of that.  What had been sent by then may have been answered before that
 * FLUSH came to the server, and seen later; it counts as told (plugins/remote/remote-ledger.h,
 * "what it can't see"). */
bool oracle_may_be_lost(uint64_t told);

/* Files are read again: that may replace the disk by another version of itself, which has answered
 * nothing, and what becomes of the old one's flush is told to the log alone. */
void oracle_may_be_opened_anew(void);
/* The disk was closed and opened again: of what was answered before, nobody is told any more. */
void oracle_opened_anew(void);
/* The server is gone: what was not answered will not happen later. */
void oracle_server_gone(void);
/* What was sent before, and is answered later, says little. */
void oracle_power_cut(void);
/* When that was the last time; 0: never. */
uint64_t oracle_cut_moment(void);

#endif
