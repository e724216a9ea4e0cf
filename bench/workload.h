/* What is asked of the server: which command, where, how much.  No I/O.
 *
 * One workload is shared by all connections of a run; each connection draws from it through a
 * stream of its own.  Sequential requests follow one cursor, so that several connections go
 * over the area together, as a copying client does; one pass covers each byte exactly once. */
#ifndef NBDCRYPT_WORKLOAD_H
#define NBDCRYPT_WORKLOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/random.h"
#include "bench/zipf.h"
#include "server/base/error.h"

enum workload_pattern { WORKLOAD_SEQUENTIAL, WORKLOAD_RANDOM, WORKLOAD_ZIPF };

/* The commands of a mix, in the order of the tables that are printed. */
enum workload_command { WORKLOAD_READ, WORKLOAD_WRITE, WORKLOAD_TRIM, WORKLOAD_ZERO };
#define WORKLOAD_COMMANDS 4u
const char *workload_command_name(enum workload_command command);

struct workload_config {
    enum workload_pattern pattern;
    double theta;                              /* of WORKLOAD_ZIPF */
    unsigned percent[WORKLOAD_COMMANDS];       /* together 100 */
    uint32_t block_min_bytes, block_max_bytes; /* lengths are multiples of the least one */
    uint64_t area_offset_bytes;
    uint64_t area_bytes; /* unless sequential: a multiple of the least block, with room for the
                            largest */
    uint64_t passes;     /* of a sequential workload: how often it goes over the area; 0: endless */
    uint64_t seed;
};

struct workload {
    struct workload_config config;
    uint64_t blocks; /* of the least size, in the area */
    struct zipf zipf;
    uint64_t scatter; /* rank times this, modulo blocks: where in the area a zipf rank is */
    _Atomic uint64_t cursor_bytes; /* over all passes */
};

struct workload_stream {
    struct workload *workload;
    struct random random;
};

struct workload_request {
    enum workload_command command;
    uint64_t offset_bytes;
    uint32_t length_bytes;
};

void workload_init(struct workload *workload, const struct workload_config *config);
/* `index`: of the connection; streams of different indices draw different numbers. */
void workload_stream_init(struct workload_stream *stream, struct workload *workload,
                          uint64_t index);

/* Any thread, each its own stream.  False: the passes are over. */
bool workload_next(struct workload_stream *stream, struct workload_request *out);

#endif
