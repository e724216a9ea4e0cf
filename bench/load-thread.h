/* One thread of a run: a loop, some connections, and what they count.  Nothing is shared on the
 * way of a request but the numbers in `struct load_shared`. */
#ifndef NBDCRYPT_LOAD_THREAD_H
#define NBDCRYPT_LOAD_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/load.h"

/* Where threads wait until all are there and the times are set. */
struct load_gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned arrived;
    bool is_open;
};

void load_gate_init(struct load_gate *gate);
void load_gate_destroy(struct load_gate *gate);
/* Of the main thread: until so many have come; lets them go. */
void load_gate_wait_for(struct load_gate *gate, unsigned count);
void load_gate_open(struct load_gate *gate);

/* What the threads of a run have in common.  Times are of CLOCK_MONOTONIC, ns. */
struct load_shared {
    const struct load_config *config;
    struct workload workload;
    struct load_gate gate;
    pthread_t main_thread; /* gets SIGUSR1 when a thread has ended */
    uint64_t measure_start_ns;
    _Atomic uint64_t measure_end_ns;
    _Atomic uint64_t issued; /* of the requests that are measured, with a `count` */
    _Atomic bool stopping;   /* a thread failed: nothing new is asked for */
    _Atomic unsigned threads_ended;
};

struct load_thread;

struct load_thread_client {
    struct load_thread *thread;
    struct load_connection *client;
    struct workload_stream stream;
    bool has_waiting; /* a request that collides with one in flight */
    struct workload_request waiting;
};

struct load_thread {
    struct load_shared *shared;
    pthread_t thread;
    struct loop *loop;
    struct scratch scratch;
    struct load_thread_client *clients;
    unsigned client_count, ended_count;
    uint64_t now_ns;
    struct loop_message abort_message; /* ends all connections, without waiting for answers */
    struct load_command_result commands[WORKLOAD_COMMANDS];
    uint64_t last_completion_ns;
    _Atomic uint64_t requests_done, bytes_done; /* since the thread began, for the progress line */
    struct error failure;
    bool failed;
};

uint64_t load_clock_ns(void);

/* The thread's body; `context` is a struct load_thread that is zero but for shared, clients and
 * client_count.  It makes its loop before it comes to the gate.  The loop is destroyed by who joins
 * the thread: a message may be on its way to it until then. */
void *load_thread_main(void *context);

#endif
