/* A deterministic loop for unit tests: server/loop/loop.h without a kernel.  A test links this file
 * in place of server/loop/loop.c and sees every operation wait until it lets it happen.
 *
 * Sockets and files made here are descriptors from FAKE_FD_FIRST on; what is done with them
 * moves bytes in memory.  Other descriptors are real ones: their reads and writes are done by
 * plain system calls when their turn comes.  Operations finish in the order in which they were
 * asked for, as far as they can; timers fire by hand.  Time stands still: a test sets
 * loop_batch_ns. */
#ifndef NBDCRYPT_FAKE_LOOP_H
#define NBDCRYPT_FAKE_LOOP_H

#include "server/loop/loop.h"

#define FAKE_FD_FIRST (1 << 20)

/* One batch: what can finish does and is delivered, then messages, then deferred tasks until
 * none is left.  False: nothing happened. */
bool fake_loop_step(struct loop *loop);
/* Batches until nothing happens any more, or loop_stop(). */
void fake_loop_run(struct loop *loop);
/* Asked for and not finished; timers count. */
unsigned fake_loop_pending(const struct loop *loop);

/* The n-th operation (1 is the next one; timers do not count) ends with -error and does
 * nothing else.  0: none.  Starts the count of fake_loop_operations() anew. */
void fake_loop_fail(struct loop *loop, unsigned nth, int error);
unsigned fake_loop_operations(const struct loop *loop);

/* Milliseconds that the timer was started with, or -1 when it is not running. */
long fake_timer_ms(const struct loop *loop, const struct loop_timer *timer);
/* It has run out: its event comes in the next batch.  The timer must be running. */
void fake_timer_fire(struct loop *loop, const struct loop_timer *timer);

/* A connected socket; the test is the client at its other end. */
int fake_socket_create(struct loop *loop);
/* What the client sends. */
void fake_socket_feed(struct loop *loop, int fd, const void *data, size_t length_bytes);
/* Sent by the server and not taken yet. */
size_t fake_socket_ready(const struct loop *loop, int fd);
/* Takes at most that much of it; returns how much. */
size_t fake_socket_take(struct loop *loop, int fd, void *data, size_t length_bytes);
/* At most so many bytes for each operation; 0: no bound. */
void fake_socket_chunk(struct loop *loop, int fd, size_t recv_bytes, size_t send_bytes);
/* The server may have so many bytes under way; its sends wait while there is no room. */
void fake_socket_window(struct loop *loop, int fd, size_t window_bytes);
/* The client sends no more, but still reads. */
void fake_socket_end(struct loop *loop, int fd);
/* The client has vanished: both directions break, unread bytes are lost. */
void fake_socket_reset(struct loop *loop, int fd);
/* The server has finished its direction (or closed the socket). */
bool fake_socket_finished(const struct loop *loop, int fd);
bool fake_socket_closed(const struct loop *loop, int fd);

/* A file of zeros.  `data` is what a read gives; `durable` what would be left after a power
 * failure: it follows fdatasync. */
int fake_file_create(struct loop *loop, size_t size_bytes);
uint8_t *fake_file_data(struct loop *loop, int fd);
const uint8_t *fake_file_durable(struct loop *loop, int fd);
/* At most so many bytes for each read and write; 0: no bound. */
void fake_file_chunk(struct loop *loop, int fd, size_t bytes);

#endif
