/* One worker with one export on the fake loop and the fake backend, and clients that speak NBD to
 * it: connection, handshake and transmission are the real ones. */
#ifndef NBDCRYPT_FAKE_SERVER_H
#define NBDCRYPT_FAKE_SERVER_H

#include "server/board/board-owner.h"
#include "server/connection/connection.h"
#include "server/connection/memory-pressure.h"
#include "server/connection/transmission.h"
#include "server/connection/worker.h"
#include "tests/support/fake-backend.h"
#include "tests/support/fake-loop.h"

#define FAKE_DISK_BYTES (48u << 20)
#define FAKE_BUFFERS_BYTES (16u << 20)

struct fake_server {
    struct board *board;
    struct loop *loop;
    struct worker worker;
    struct memory_pressure pressure;
    struct io_event empty;       /* of the worker */
    struct fake_backend backend; /* filled with a pattern */
    struct range_lock *ranges;   /* of the align layer, if there is one */
    struct export ex;            /* of the empty name */
    struct export_part part;
    struct export_set *set;
};

/* The only one; fake_server_open() makes it anew. */
extern struct fake_server server;

void fake_server_open(void);
/* With a backend of such blocks, and the align layer over it. */
void fake_server_open_blocks(uint32_t block_bytes);
/* Completes what is held; nothing of any connection may be left then. */
void fake_server_close(void);

/* A client that has connected; the result is its end of the socket. */
int fake_client_connect(void);
/* Flags, STRUCTURED_REPLY when wanted, GO: at most 128 bytes; their number. */
size_t fake_client_handshake(uint8_t *out, bool structured);
/* One that has attached the export. */
int fake_client_attach(bool structured);
void fake_client_send(int fd, uint16_t command, uint64_t cookie, uint64_t offset_bytes,
                      uint32_t length_bytes);
/* A write of bytes of one value. */
void fake_client_write(int fd, uint64_t cookie, uint64_t offset_bytes, uint32_t length_bytes,
                       int fill);
/* The next bytes, which must come. */
void fake_client_take(int fd, void *out, size_t length_bytes);
/* The next simple reply; its error. */
uint32_t fake_client_take_simple(int fd, uint64_t *cookie);
void fake_client_expect_simple(int fd, uint64_t cookie, uint32_t error);
/* The next bytes are those of the disk. */
void fake_client_expect_data(int fd, uint64_t offset_bytes, uint32_t length_bytes);
/* All chunks of one structured read, compared with the disk; its error or 0. */
uint32_t fake_client_take_read(int fd, uint64_t cookie, uint32_t length_bytes);
/* DISC; the server closes. */
void fake_client_leave(int fd);

#endif
