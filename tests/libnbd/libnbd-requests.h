/* Requests by libnbd's asynchronous calls, many in flight on each of some connections, and each
 * answer held against a model. */
#ifndef NBDCRYPT_TEST_LIBNBD_REQUESTS_H
#define NBDCRYPT_TEST_LIBNBD_REQUESTS_H

#include <stdbool.h>
#include <stdint.h>

#include <libnbd.h>

#include "tests/libnbd/disk-model.h"

enum kind { READ, READ_CHUNKS, WRITE, ZERO, TRIM, CACHE, FLUSH, STATUS, KINDS };

struct requests;

/* One that is in flight. */
struct request {
    struct requests *all;
    enum kind kind;
    uint32_t flags; /* LIBNBD_CMD_FLAG_* */
    uint64_t offset_bytes, length_bytes;
    uint8_t *data;
    uint8_t *seen; /* of READ_CHUNKS: which bytes have come */
    unsigned chunks;
    bool has_extents, answered;
    bool may_be_lost; /* the connection is about to be closed */
};

/* All that go to one export.  Zeroed, but for `model`. */
struct requests {
    struct disk_model *model;
    unsigned in_flight, most_in_flight;
    uint64_t asked[KINDS], answered[KINDS], lost;
};

/* A sentence on what is wrong; the program ends with status 1 in the end. */
void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
unsigned wrong_count(void);

/* The same numbers for the same seed. */
uint64_t draw(uint64_t below);
void draw_seed(uint64_t seed);

/* Connects, or ends the program with a sentence. */
struct nbd_handle *connect_to(const char *uri);

/* Submits one; false: its bytes are in use, or the export has no such command.  The data of writes
 * is drawn. */
bool request_submit(struct requests *all, struct nbd_handle *nbd, enum kind kind,
                    uint64_t offset_bytes, uint64_t length_bytes, uint32_t flags, bool may_be_lost);
/* Waits until one of the connections has something, and takes it; ends the program when nothing
 * comes. */
void requests_wait(struct nbd_handle **connections, unsigned count);
/* Until none is in flight. */
void requests_drain(struct requests *all, struct nbd_handle **connections, unsigned count);

#endif
