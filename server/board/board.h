/* What the server is doing, for all who look: a shared mapping that every observer reads and only
 * the owners of its rows write (board-owner.h).  A look takes no lock, sends no message to a
 * worker, and waits for none: it also works when one of them hangs, and from another process that
 * has the descriptor.  There are no secrets on it, and offsets in the place of pointers.
 *
 *     worker rows        how each worker is                        written once a batch
 *     connection rows    one for each client                       at events; counters as they go
 *     command rows       one for each command slot of a worker     while a command is under way
 *     export rows        one for each export: its name, and where its figures are
 *     figures            counters and durations of (export, worker), while clients are attached
 *     lines              the last ones of the log, whatever its level
 *
 * What is read is a copy of one instant of one row; two rows are of two instants.  A row whose
 * owner kept writing to it through BOARD_TRIES looks is `torn`: its parts may be of several
 * instants.
 *
 * Times are CLOCK_MONOTONIC in nanoseconds, as of the batch in which something happened: what
 * begins and ends within one took 0. */
#ifndef NBDCRYPT_BOARD_H
#define NBDCRYPT_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/base/error.h"

#define BOARD_TRIES 3u
#define BOARD_PEER_BYTES 224u /* texts end with a NUL, what is longer is cut */
#define BOARD_TLS_BYTES 64u
#define BOARD_NAME_BYTES 128u
#define BOARD_LINE_BYTES 224u
#define BOARD_LINES 1024u

struct board;

/* For that many workers.  Without memfds, or where files or memory are limited, it is smaller or
 * known to this process alone; -ENOMEM: not even that. */
NODISCARD int board_create(struct board **out, unsigned workers, struct error *err);
/* All owners have ended. */
void board_destroy(struct board *board);

/* To look at it from another process; -1: that is not possible. */
int board_fd(const struct board *board);
/* There: maps it for reading.  -EPROTO: it is of another version of the program, or broken. */
NODISCARD int board_open(struct board **out, int fd, struct error *err);

/* CLOCK_MONOTONIC, as times on the board. */
uint64_t board_now_ns(void);
/* When it was made. */
uint64_t board_since_ns(const struct board *board);
/* That time of the board in CLOCK_REALTIME. */
uint64_t board_realtime_ns(const struct board *board, uint64_t time_ns);
/* Rows that there was no room for, so far: what belongs on them is not seen. */
uint64_t board_lost(const struct board *board);

/* Has it said that it ends?  If not, and its process has gone, something has ended it. */
enum board_end {
    BOARD_RUNS,
    BOARD_ENDS,    /* in good order, or with a reason that it gave */
    BOARD_CRASHED, /* and has left a report */
};
enum board_end board_end_of(const struct board *board);
/* Of a server that has gone without having said that: true for the process that asks first. */
bool board_take_report(int fd);

/* ---- workers ---- */

struct board_worker {
    unsigned index;
    pid_t tid;              /* 0: it has not begun */
    uint64_t turns;         /* batches so far */
    uint64_t turn_start_ns; /* of this one, or of the last one when it is asleep */
    bool asleep;            /* it waits for something to do */
    uint64_t answered_ns;   /* the last time that it answered the watchdog; 0: it was not asked */
    unsigned connections;
    unsigned parked;        /* clients that wait for a slot or a buffer */
    unsigned commands;      /* slots in use */
    uint64_t buffers_bytes; /* of data buffers in use */
};

unsigned board_workers(const struct board *board);
/* index < board_workers(). */
void board_read_worker(const struct board *board, unsigned index, struct board_worker *out);
/* How long its turn has lasted; 0 while it sleeps.  Seconds of that: it hangs. */
uint64_t board_worker_stall_ns(const struct board_worker *worker, uint64_t now_ns);

/* ---- connections ---- */

enum board_state {
    BOARD_NONE, /* no row */
    BOARD_HANDSHAKE,
    BOARD_GOODBYE,
    BOARD_TRANSMISSION,
    BOARD_DRAINING,
    BOARD_CLOSING,
};
const char *board_state_name(enum board_state state); /* "handshake" */

struct board_connection {
    uint64_t id; /* never used again; from 1 */
    unsigned worker;
    enum board_state state;
    uint64_t export_id;          /* 0: none yet */
    char peer[BOARD_PEER_BYTES]; /* "client 192.0.2.7:40312 (CN=vm7)" */
    char tls[BOARD_TLS_BYTES];   /* "TLS 1.3 AES-256-GCM"; "": none */
    uint64_t since_ns;           /* it was accepted */
    uint64_t attached_ns;        /* 0: not yet */
    uint64_t requests, errors;   /* that have been answered; of these, not with success */
    uint64_t read_bytes, written_bytes;
    unsigned in_flight;          /* commands */
    bool waits_for_memory;       /* it is parked */
    uint64_t throttled_since_ns; /* its next command waits for a limit; 0: it does not */
    bool torn;
};

/* Where a walk is; 0 at first.  Rows that come and go meanwhile may be seen or not; those that stay
 * are seen once. */
typedef uint64_t board_cursor;

/* The next connection; false: there are no more. */
bool board_next_connection(const struct board *board, board_cursor *cursor,
                           struct board_connection *out);
/* False: there is none of that id (any more).  Looks through all of them. */
bool board_read_connection(const struct board *board, uint64_t id, struct board_connection *out);

/* The place of an export's row, fast to find; it may be another's when the export has gone. */
typedef uint32_t board_place;
#define BOARD_NOWHERE 0u

/* ---- commands ---- */

enum board_op {
    BOARD_READ,
    BOARD_WRITE,
    BOARD_FLUSH,
    BOARD_TRIM,
    BOARD_ZERO,
    BOARD_CACHE,
    BOARD_STATUS, /* of blocks */
    BOARD_OPS
};
const char *board_op_name(enum board_op op); /* "read" */

enum board_phase {
    BOARD_RECEIVE,   /* its payload is awaited, or memory for it */
    BOARD_THROTTLED, /* a limit holds it back: nothing but its header was received */
    BOARD_BACKEND,   /* storage (and the layers before it) is at work */
    BOARD_READY,     /* storage is done; its answer waits for its turn, or is on the wire */
};
const char *board_phase_name(enum board_phase phase); /* "backend" */

struct board_command {
    uint64_t connection; /* id */
    uint64_t export_id;
    unsigned worker;
    enum board_op op;
    enum board_phase phase;
    uint64_t offset_bytes, length_bytes;
    board_place export_place;
    uint64_t slow_ns;          /* of its export: longer than that is slow; 0: it says nothing */
    uint64_t start_ns;         /* its header was there */
    uint64_t throttled_ns;     /* so long a limit held it back, before anything else */
    uint64_t backend_since_ns; /* BOARD_BACKEND: when it went to storage */
    uint64_t backend_ns;       /* BOARD_READY: how long it was there */
    bool torn;
};

/* The next command that is under way; false: there are no more. */
bool board_next_command(const struct board *board, board_cursor *cursor, struct board_command *out);

/* ---- exports ---- */

/* What an export may be asked for in a second; in the order of limit-settings.h. */
enum board_limit {
    BOARD_LIMIT_IOPS,
    BOARD_LIMIT_READ_IOPS,
    BOARD_LIMIT_WRITE_IOPS,
    BOARD_LIMIT_BYTES,
    BOARD_LIMIT_READ_BYTES,
    BOARD_LIMIT_WRITE_BYTES,
    BOARD_LIMITS
};

struct board_export {
    uint64_t id; /* never used again; from 1 */
    board_place place;
    char name[BOARD_NAME_BYTES];   /* UTF-8 as it came; what is longer is cut */
    unsigned connections;          /* that are attached */
    bool replaced;                 /* what is counted for it is counted for another one */
    uint64_t limits[BOARD_LIMITS]; /* a second; 0: none */
};

bool board_next_export(const struct board *board, board_cursor *cursor, struct board_export *out);
/* How many connections have attached the one at this place; 0: there is none. */
unsigned board_export_connections(const struct board *board, board_place place);
/* False: there is none of that id (any more).  Looks through all of them. */
bool board_read_export(const struct board *board, uint64_t id, struct board_export *out);

/* The shortest slow_ns that an export ever had; 0: none had one. */
uint64_t board_slow_ns(const struct board *board);

/* ---- figures ---- */

/* Durations in microseconds, log-linear: each octave from 1 us on has four buckets, up to 2^26 us
 * (67 s); the first one has all that is shorter, too, and the last one all that is longer.  So a
 * value that is read from it is at most a quarter above the true one, and powers of 2 are bounds.
 */
#define BOARD_BUCKETS_PER_OCTAVE 4u
#define BOARD_DURATION_OCTAVES 26u
#define BOARD_BUCKETS (BOARD_BUCKETS_PER_OCTAVE * BOARD_DURATION_OCTAVES + 1)

struct board_histogram {
    uint64_t sum_ns;
    uint64_t counts[BOARD_BUCKETS];
};

uint64_t board_histogram_count(const struct board_histogram *histogram);
/* What is in that bucket took at most so long; index < BOARD_BUCKETS. */
uint64_t board_bucket_us(unsigned index);
/* How many took less than that, which is a power of 2 and more than 1: the buckets of Prometheus.
 */
uint64_t board_histogram_below(const struct board_histogram *histogram, uint64_t limit_us);
/* What at least `fraction` (0 to 1) of them did not exceed, in microseconds; 0: there are none. */
uint64_t board_histogram_quantile_us(const struct board_histogram *histogram, double fraction);
void board_histogram_add(struct board_histogram *histogram, const struct board_histogram *from);

/* The errors of NBD, and all others; `nbd`: as on the wire. */
#define BOARD_ERRORS 9u
unsigned board_error_index(uint32_t nbd);
const char *board_error_name(unsigned index); /* "EIO"; "other" */

/* What a cipher did in one direction. */
struct board_crypto {
    uint64_t bytes;
    uint64_t ns; /* one call in BOARD_CRYPTO_TIMED is measured, and stands for as many */
};
#define BOARD_CRYPTO_TIMED 64u

/* What clients of an export asked for and got, from its beginning to now: never less than at an
 * earlier look.  Of a request: from its header to the answer, and from the first part of it that
 * went to storage to the last one that came back. */
struct board_figures {
    union {
        struct {
            struct board_histogram request[BOARD_OPS], backend[BOARD_OPS];
        };
        struct board_histogram durations[2 * BOARD_OPS];
    };
    uint64_t errors[BOARD_OPS][BOARD_ERRORS];
    union { /* that were asked for with success */
        struct {
            uint64_t read_bytes, written_bytes;
        };
        uint64_t bytes[BOARD_OPS];
    };
    uint64_t attached; /* connections so far */
    uint64_t throttled_ns;
    uint64_t slow;                 /* requests that were seen to take longer than slow-request */
    struct board_crypto crypto[2]; /* decrypted, encrypted */
};

/* Adds up what all workers counted, with what an export had that it replaced; of BOARD_GONE: what
 * exports had that have gone.  False: there is none at that place, or a row moved during every look
 * (ask again, and show what was before). */
#define BOARD_GONE UINT32_MAX
bool board_sum_export(const struct board *board, board_place place, struct board_figures *out);
/* Of all exports, with those that have gone. */
bool board_sum_all(const struct board *board, struct board_figures *out);

/* How often what exports had moved to others: board_export_end().  Figures of several exports that
 * are added up belong together where this did not change meanwhile. */
uint64_t board_moves(const struct board *board);

/* How long clients took from their arrival to their export, under TLS or without. */
void board_read_handshakes(const struct board *board, bool tls, struct board_histogram *out);
/* Of that, the handshake of TLS alone. */
void board_read_tls_handshakes(const struct board *board, struct board_histogram *out);

/* ---- lines of the log ---- */

struct board_line {
    uint64_t number; /* they are counted from 1; what is missing between two was overwritten */
    uint64_t time_ns;
    int level;                   /* enum log_level */
    char text[BOARD_LINE_BYTES]; /* without control characters: as log-text.h writes it */
};

/* The last lines after number `after`, at most `most`, the oldest first; how many. */
size_t board_read_lines(const struct board *board, uint64_t after, struct board_line *out,
                        size_t most);

#endif
