/* An operation that is in flight on a loop of the simulated world: loop.c asks for it, op-disk.c
 * and op-socket.c carry it out. */
#ifndef NBDCRYPT_SIM_OP_H
#define NBDCRYPT_SIM_OP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "server/loop/loop.h"

struct disk;
struct endpoint;

enum op_kind {
    OP_READ,
    OP_WRITE,
    OP_SYNC,
    OP_FALLOCATE,
    OP_READAHEAD,
    OP_RECEIVE,
    OP_SEND,
    OP_TIMER
};

struct op {
    enum op_kind kind;
    struct io_event *event;
    struct loop *loop;
    unsigned host; /* of the loop */
    struct disk *disk;
    int fd; /* of the disk */
    struct endpoint *endpoint;
    uint8_t *data;
    uint32_t length_bytes, done_bytes;
    uint64_t offset_bytes, range_bytes; /* of OP_FALLOCATE */
    int mode;
    uint64_t position; /* of OP_SYNC: see disk_position() */
    struct msghdr *message;
    unsigned delay_ms;
    int result;
    bool submitted, waits_for_socket, has_result;
    bool shown;      /* a part of what it writes: see disk_show() */
    bool dead;       /* its host was killed */
    struct op *next; /* of the loop, in the order in which they were asked for */
};

/* It has a result, of which its owner hears after a drawn time. */
void op_ends(struct op *op, int result);

/* How long it takes until disk_op_happens(), an event. */
uint64_t disk_op_delay_ns(const struct op *op);
void disk_op_happens(void *op);
/* `fn` is called, as an event, when so many of the writes and syncs of a host have happened, and
 * nobody was told of the last one.  `below_bytes` not 0: only writes that begin before that. */
void op_watch_writes(unsigned host, unsigned count, uint64_t below_bytes,
                     void (*fn)(void *nothing));
/* Its host is killed: some of what was asked of a disk happens all the same. */
void disk_op_drop(struct op *op);

/* An event; it ends at once or when the socket is ready. */
void socket_op_happens(void *op);
void socket_op_try(struct op *op);

#endif
