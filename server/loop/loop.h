/* The event loop: the only user of io_uring.
 *
 * One loop belongs to one thread, the one that calls loop_create(); only loop_post() may be
 * called from others.  Every operation takes a `struct io_event`, embedded in its owner; its
 * address is the user_data, and at most one operation is in flight for each.  When the
 * operation is finished, `fn` is called from loop_run() with the kernel's result: a count or
 * 0, or -errno.  Operations never fail at the call: a failure is a completion.
 *
 * A batch: the completions that are there are delivered, then the messages of other threads,
 * then the deferred tasks run until none is left, then everything that was queued meanwhile
 * goes to the kernel in one call.  Of thousands that are there at once, a batch has some hundreds:
 * so whoever comes late has his turn before the last of them. */
#ifndef NBDCRYPT_LOOP_H
#define NBDCRYPT_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "server/base/error.h"

#define container_of(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct loop;
struct buffer;

struct io_event {
    void (*fn)(struct io_event *ev, int result);
};

/* Work to be done once, at the end of the batch, however often it was asked for. */
struct loop_task {
    void (*fn)(struct loop_task *task);
    struct loop_task *next;
    bool queued;
};

/* A completion sent to a loop by another thread. */
struct loop_message {
    struct io_event event;
    int result;
    struct loop_message *next;
};

/* A file as a loop knows it: by number, or by its slot in the ring's file table. */
struct loop_file {
    int fd;   /* -1: not open */
    int slot; /* -1: not registered, `fd` is used */
};

/* Where a loop is in its work, for who looks from another thread, or another process. */
struct loop_turns {
    uint64_t count;    /* batches that have begun */
    uint64_t start_ns; /* of the last one, CLOCK_MONOTONIC */
    uint32_t asleep;   /* 1: it waits for something to do */
};

/* The time of this batch, CLOCK_MONOTONIC, on the thread of a loop: the clock is read once for all
 * that is in it. */
extern _Thread_local uint64_t loop_batch_ns __attribute__((tls_model("local-exec")));
static inline uint64_t loop_now_ns(void)
{
    return loop_batch_ns;
}

/* One timer; its event fires with -ETIME, or -ECANCELED after loop_cancel(). */
struct loop_timer {
    struct io_event event;
    long long deadline[2]; /* seconds, nanoseconds from now: the kernel reads it here */
};

struct loop_config {
    unsigned entries;      /* of the submission queue, at most */
    unsigned others;       /* so many loops like this one are made besides */
    unsigned file_slots;   /* registered files; 0: none */
    unsigned memory_slots; /* registered pieces of memory; 0: none */
    unsigned
        busy_wait_us; /* how long it may look for work before it sleeps (busy-wait.h); 0: never */
    bool accepts;     /* loop_accept() is called */
    struct loop_turns *turns; /* zeroed; must outlive the loop; NULL: nobody looks */
    struct loop_task *after;  /* what is called at the end of each batch, before it may sleep; NULL:
                               * nothing */
};

/* Makes the loop for the calling thread.  -EPERM/-ENOSYS and the like where io_uring is
 * forbidden or absent, with a message that says which sysctl or seccomp profile to look at. */
NODISCARD int loop_create(struct loop **out, const struct loop_config *config, struct error *err);
void loop_destroy(struct loop *loop);

/* Runs until loop_stop() was called (from an event, a task or a message). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* Runs `task` once at the end of this batch; nothing happens when it is queued already. */
void loop_defer(struct loop *loop, struct loop_task *task);

/* Any thread: has `message->event.fn(event, message->result)` called on the target's thread. */
void loop_post(struct loop *target, struct loop_message *message);

/* Takes `fd` into the ring's table where there is room.  Ownership of fd stays with the
 * caller until loop_file_close(), which closes it. */
void loop_file_init(struct loop *loop, struct loop_file *file, int fd);
/* As above for a file that several loops share: released, not closed. */
void loop_file_release(struct loop *loop, struct loop_file *file);
void loop_file_close(struct loop *loop, struct loop_file *file);

/* shutdown(2) on a socket: operations in flight on the closed side end soon. */
void loop_file_shutdown(struct loop *loop, const struct loop_file *file, int how);

/* Puts on a socket what it takes without waiting; how much that was, 0 at the least.  For a last
 * word that nobody waits for; no send may be in flight. */
size_t loop_file_send_now(struct loop *loop, const struct loop_file *file, const void *data,
                          size_t length_bytes);

/* Bytes of a socket that have arrived and that no receive has taken yet. */
bool loop_file_has_unread(struct loop *loop, const struct loop_file *file);
/* Bytes that were sent to a socket and that the other end has not taken (TCP: not acknowledged). */
uint32_t loop_file_unsent_bytes(struct loop *loop, const struct loop_file *file);

/* Registers memory for fixed reads and writes; the index, or -1 where that is not possible
 * (no slot left, RLIMIT_MEMLOCK): the memory can be used all the same. */
int loop_register_memory(struct loop *loop, void *base, size_t length_bytes);
/* What loop_register_memory() gave, unless -1; no operation on that memory is in flight. Before it
 * is unmapped: until then the ring keeps its pages. */
void loop_unregister_memory(struct loop *loop, int index);

/* `buffer` may be NULL; when it is registered, the fixed form of the operation is used. */
void loop_read(struct loop *loop, struct io_event *ev, const struct loop_file *file,
               const struct buffer *buffer, uint8_t *data, uint32_t length_bytes,
               uint64_t offset_bytes);
void loop_write(struct loop *loop, struct io_event *ev, const struct loop_file *file,
                const struct buffer *buffer, const uint8_t *data, uint32_t length_bytes,
                uint64_t offset_bytes);
/* Of that range at least; both 0: of all. */
void loop_fdatasync(struct loop *loop, struct io_event *ev, const struct loop_file *file,
                    uint64_t offset_bytes, uint32_t length_bytes);
void loop_fallocate(struct loop *loop, struct io_event *ev, const struct loop_file *file, int mode,
                    uint64_t offset_bytes, uint64_t length_bytes);
/* POSIX_FADV_WILLNEED on the range. */
void loop_readahead(struct loop *loop, struct io_event *ev, const struct loop_file *file,
                    uint64_t offset_bytes, uint32_t length_bytes);

/* `message` and what it points to must stay until the event fires.  Descriptors that are received
 * are close-on-exec. */
void loop_recvmsg(struct loop *loop, struct io_event *ev, const struct loop_file *file,
                  struct msghdr *message);
void loop_sendmsg(struct loop *loop, struct io_event *ev, const struct loop_file *file,
                  struct msghdr *message);
/* The result is a new descriptor (close-on-exec), or -errno. */
void loop_accept(struct loop *loop, struct io_event *ev, int fd);
/* The result is the poll(2) events that are ready, or -errno. */
void loop_poll(struct loop *loop, struct io_event *ev, int fd, unsigned events);

void loop_timer_start(struct loop *loop, struct loop_timer *timer, unsigned timeout_ms);
/* Asks for the operation of `ev` to be ended: it completes soon, with -ECANCELED unless it
 * was finished already.  Nothing happens when none is in flight. */
void loop_cancel(struct loop *loop, struct io_event *ev);

#endif
