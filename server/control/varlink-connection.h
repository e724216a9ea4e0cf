/* One client of a varlink service, on the loop of the calling thread.
 *
 * Calls are answered one at a time, and the next one is looked at when all replies to the one
 * before have been taken by the socket: so what a client has of our memory is one message
 * (VARLINK_MESSAGE_BYTES_MAX), and what its call puts into the output.  Who produces many replies
 * asks varlink_unsent_bytes() first and goes on at `writable`.
 *
 * Descriptors that come with a message (SCM_RIGHTS) are handed over with it, VARLINK_FDS_MAX at
 * most; further ones are closed. */
#ifndef NBDCRYPT_VARLINK_CONNECTION_H
#define NBDCRYPT_VARLINK_CONNECTION_H

#include <stdint.h>

#include "server/control/varlink-message.h"
#include "server/loop/loop.h"

#define VARLINK_FDS_MAX 4u

struct varlink_connection;

struct varlink_fd {
    int fd;
    size_t end_bytes; /* of the input, behind the last byte that it came with */
};

struct varlink_ops {
    /* A call.  It is answered, now or later, by varlink_reply() without `continues` or by
     * varlink_error(), once, also where the client wants none.  `call` and the descriptors of
     * `fds` stay until then; what is left in `fds` is closed after it (-1: it was taken). */
    void (*called)(struct varlink_connection *connection);
    /* What was put out for the call under way has been taken. */
    void (*writable)(struct varlink_connection *connection);
    /* The client sends no more while a call is under way; it may still read. */
    void (*input_ended)(struct varlink_connection *connection);
    /* It has gone, or varlink_close() was called; nothing is in flight.  Frees it, after
     * varlink_release(). */
    void (*closed)(struct varlink_connection *connection);
};

/* Embedded in its owner. */
struct varlink_connection {
    const struct varlink_ops *ops;
    struct loop *loop;
    struct loop_file file;

    /* The call under way. */
    bool busy;
    struct varlink_call call;
    int fds[VARLINK_FDS_MAX]; /* -1: none */

    /* Input: bytes that have come and are not a call yet. */
    struct io_event received;
    struct msghdr receive_message;
    struct iovec receive_part;
    _Alignas(struct cmsghdr) char receive_control[CMSG_SPACE(VARLINK_FDS_MAX * sizeof(int))];
    _Alignas(struct cmsghdr) char send_control[CMSG_SPACE(sizeof(int))];
    char *input;
    size_t input_bytes, input_room_bytes, scanned_bytes;
    struct varlink_fd waiting_fds[VARLINK_FDS_MAX]; /* of messages that are not complete yet */
    size_t waiting_count;
    bool receiving, input_ended;

    /* Output: `sending` is with the kernel, `queued` waits. */
    struct io_event sent;
    struct msghdr send_message;
    struct iovec send_part;
    char *sending, *queued;
    size_t sending_bytes, sent_bytes, queued_bytes, queued_room_bytes;
    int reply_fd; /* goes with the next thing that is sent; -1: none */
    bool in_flight, finishing, closing, closed;
    struct loop_task step;
    uint64_t progress; /* grows with each byte that comes or is taken */
};

/* Takes the socket and begins to read. */
void varlink_open(struct varlink_connection *connection, const struct varlink_ops *ops,
                  struct loop *loop, int fd);
/* `closed` follows; what is still to be sent is dropped. */
void varlink_close(struct varlink_connection *connection);
/* In `closed`: frees what it has but itself. */
void varlink_release(struct varlink_connection *connection);

/* `parameters` are consumed; NULL: none.  Where there is no memory the connection ends. */
void varlink_reply(struct varlink_connection *connection, struct json_object *parameters,
                   bool continues);
/* The reply takes a descriptor along, which is closed here. */
void varlink_reply_with_fd(struct varlink_connection *connection, struct json_object *parameters,
                           int fd);
void varlink_error(struct varlink_connection *connection, const char *name,
                   struct json_object *parameters);

/* Put out, and not taken by the socket yet. */
size_t varlink_unsent_bytes(const struct varlink_connection *connection);
/* It waits for the rest of a message that has begun. */
bool varlink_is_in_a_message(const struct varlink_connection *connection);

#endif
