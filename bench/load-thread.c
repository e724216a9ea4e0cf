#include "bench/load-thread.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "server/nbd/nbd-wire.h"

#define LOOP_ENTRIES_MIN 64u
#define LOOP_ENTRIES_MAX 4096u
#define DRAWS_MAX 100u /* until one does not collide with what is in flight */

/* In order of execution. */
static void batch(void *owner);
static enum client_next next(void *owner, struct client_request *request);
static void completed(void *owner, struct client_request *request);
static void ended(void *owner, const struct error *err);

static const struct client_owner_ops owner_ops = {
    .batch = batch,
    .next = next,
    .completed = completed,
    .ended = ended,
};

uint64_t load_clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- the gate ---- */

void load_gate_init(struct load_gate *gate)
{
    *gate = (struct load_gate){ .arrived = 0 };
    pthread_mutex_init(&gate->mutex, NULL);
    pthread_cond_init(&gate->changed, NULL);
}

void load_gate_destroy(struct load_gate *gate)
{
    pthread_mutex_destroy(&gate->mutex);
    pthread_cond_destroy(&gate->changed);
}

void load_gate_wait_for(struct load_gate *gate, unsigned count)
{
    pthread_mutex_lock(&gate->mutex);
    while (gate->arrived < count)
        pthread_cond_wait(&gate->changed, &gate->mutex);
    pthread_mutex_unlock(&gate->mutex);
}

void load_gate_open(struct load_gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    gate->is_open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mutex);
}

static void pass_gate(struct load_gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    gate->arrived++;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->is_open)
        pthread_cond_wait(&gate->changed, &gate->mutex);
    pthread_mutex_unlock(&gate->mutex);
}

/* ---- the thread ---- */

static void abort_all(struct io_event *ev, int result)
{
    struct loop_message *message = container_of(ev, struct loop_message, event);
    struct load_thread *thread = container_of(message, struct load_thread, abort_message);
    struct error err;
    unsigned in_flight = 0;

    (void)result;
    for (unsigned i = 0; i < thread->client_count; i++)
        in_flight += load_connection_in_flight(thread->clients[i].client);
    (void)error_set(&err, -ETIMEDOUT,
                    "the server has not answered for %u seconds, and %u "
                    "requests wait for it",
                    thread->shared->config->timeout_s, in_flight);
    for (unsigned i = 0; i < thread->client_count; i++)
        load_connection_abort(thread->clients[i].client, &err);
}

static int set_up(struct load_thread *thread, struct error *err)
{
    unsigned entries = 4 * thread->client_count;
    struct loop_config config = { .entries = entries, .file_slots = thread->client_count };

    if (entries < LOOP_ENTRIES_MIN)
        config.entries = LOOP_ENTRIES_MIN;
    if (entries > LOOP_ENTRIES_MAX)
        config.entries = LOOP_ENTRIES_MAX;
    thread->abort_message.event.fn = abort_all;
    int result = loop_create(&thread->loop, &config, err);
    return result == 0 ? scratch_create(&thread->scratch, err) : result;
}

static void run(struct load_thread *thread)
{
    for (unsigned i = 0; i < thread->client_count; i++)
        load_connection_attach(thread->clients[i].client, thread->loop, &thread->scratch,
                               &owner_ops, &thread->clients[i]);
    loop_run(thread->loop);
    for (unsigned i = 0; i < thread->client_count; i++)
        load_connection_detach(thread->clients[i].client);
}

void *load_thread_main(void *context)
{
    struct load_thread *thread = context;
    struct load_shared *shared = thread->shared;

    thread->failed = set_up(thread, &thread->failure) != 0;
    if (thread->failed)
        atomic_store(&shared->stopping, true);
    pass_gate(&shared->gate);
    if (!thread->failed)
        run(thread);
    scratch_destroy(&thread->scratch);
    atomic_fetch_add(&shared->threads_ended, 1);
    pthread_kill(shared->main_thread, SIGUSR1);
    return NULL;
}

/* ---- requests ---- */

static void batch(void *owner)
{
    struct load_thread *thread = ((struct load_thread_client *)owner)->thread;

    thread->now_ns = load_clock_ns();
}

static bool is_measured(const struct load_thread *thread)
{
    return thread->now_ns >= thread->shared->measure_start_ns;
}

/* Whether one more may be asked for.  With a count, those that are measured are numbered: the
 * run has exactly that many. */
static bool take_ticket(struct load_thread *thread)
{
    struct load_shared *shared = thread->shared;

    if (atomic_load_explicit(&shared->stopping, memory_order_relaxed) ||
        thread->now_ns >= atomic_load_explicit(&shared->measure_end_ns, memory_order_relaxed))
        return false;
    if (shared->config->count == 0 || !is_measured(thread))
        return true;
    /* Never beyond it, not even for a moment: a ticket that another thread is about to give back is
     * taken again by somebody. */
    uint64_t issued = atomic_load_explicit(&shared->issued, memory_order_relaxed);
    while (issued < shared->config->count)
        if (atomic_compare_exchange_weak_explicit(&shared->issued, &issued, issued + 1,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    return false;
}

static void give_back_ticket(struct load_thread *thread)
{
    if (thread->shared->config->count != 0 && is_measured(thread))
        atomic_fetch_sub_explicit(&thread->shared->issued, 1, memory_order_relaxed);
}

struct command_row {
    uint16_t command;
    enum verify_use use;
};

/* By enum workload_command. */
static const struct command_row command_rows[WORKLOAD_COMMANDS] = {
    [WORKLOAD_READ] = { NBD_CMD_READ, VERIFY_READ },
    [WORKLOAD_WRITE] = { NBD_CMD_WRITE, VERIFY_WRITE },
    [WORKLOAD_TRIM] = { NBD_CMD_TRIM, VERIFY_TRIM },
    [WORKLOAD_ZERO] = { NBD_CMD_WRITE_ZEROES, VERIFY_ZERO },
};

static enum workload_command workload_command_of(uint16_t command)
{
    unsigned row = 0;

    while (command_rows[row].command != command)
        row++;
    return (enum workload_command)row;
}

/* Reserves the blocks that a request touches; what is not verified needs no reservation, nor do
 * reads of what an earlier run has written. */
static bool take_blocks(const struct load_config *config, const struct workload_request *drawn)
{
    struct verify *verify = config->verify;

    if (verify == NULL || !verify->has_table || config->read_back)
        return true;
    return verify_table_take(&verify->table, drawn->offset_bytes, drawn->length_bytes,
                             command_rows[drawn->command].use);
}

/* The next one that is worth asking for. */
static bool draw_one(struct load_thread_client *client, struct workload_request *drawn)
{
    const struct load_config *config = client->thread->shared->config;

    if (client->has_waiting) {
        client->has_waiting = false;
        *drawn = client->waiting;
        return true;
    }
    do {
        if (!workload_next(&client->stream, drawn))
            return false;
    } while (config->read_back &&
             !verify_knows(config->verify, drawn->offset_bytes, drawn->length_bytes));
    return true;
}

/* A request that collides with what is in flight goes elsewhere, unless the workload is sequential,
 * which leaves nothing out; but it stays what it is, so that the mix does too: where a few blocks
 * are fought for, reads would get them all.  CLIENT_LATER: there is no place now. */
static enum client_next draw(struct load_thread_client *client, struct workload_request *drawn)
{
    const struct load_config *config = client->thread->shared->config;
    unsigned draws = config->workload.pattern == WORKLOAD_SEQUENTIAL ? 1 : DRAWS_MAX;
    enum workload_command command = WORKLOAD_READ;

    for (unsigned i = 0; i < draws; i++) {
        if (!draw_one(client, drawn))
            return CLIENT_END;
        if (i == 0)
            command = drawn->command;
        drawn->command = command;
        if (take_blocks(config, drawn))
            return CLIENT_REQUEST;
    }
    client->waiting = *drawn;
    client->has_waiting = true;
    return CLIENT_LATER;
}

static enum client_next next(void *owner, struct client_request *request)
{
    struct load_thread_client *client = owner;
    struct load_thread *thread = client->thread;
    struct verify *verify = thread->shared->config->verify;
    struct workload_request drawn;

    if (!take_ticket(thread))
        return CLIENT_END;
    enum client_next result = draw(client, &drawn);
    if (result != CLIENT_REQUEST) {
        give_back_ticket(thread);
        return result;
    }
    request->command = command_rows[drawn.command].command;
    request->offset_bytes = drawn.offset_bytes;
    request->length_bytes = drawn.length_bytes;
    request->start_ns = thread->now_ns;
    request->counted = is_measured(thread);
    if (verify != NULL && drawn.command == WORKLOAD_WRITE)
        request->write_number =
            verify_fill(verify, request->data, drawn.offset_bytes, drawn.length_bytes);
    return CLIENT_REQUEST;
}

/* ---- answers ---- */

static void settle_blocks(const struct load_config *config, const struct client_request *request,
                          enum verify_use use)
{
    struct verify *verify = config->verify;

    if (use == VERIFY_READ)
        verify_check(verify, request->data, request->offset_bytes, request->length_bytes);
    if (verify->has_table && !config->read_back)
        verify_table_end(&verify->table, request->offset_bytes, request->length_bytes, use,
                         request->write_number);
}

/* With a count, what was asked for in the time that is measured counts; without one, what was
 * answered in it: both give exactly what is wanted, and lose nothing at the edges. */
static bool is_counted(const struct load_thread *thread, const struct client_request *request)
{
    const struct load_shared *shared = thread->shared;

    if (thread->now_ns > atomic_load_explicit(&shared->measure_end_ns, memory_order_relaxed))
        return false;
    return shared->config->count != 0 ? request->counted : is_measured(thread);
}

static void count_one(_Atomic uint64_t *counter, uint64_t more)
{
    /* One writer: no locked instruction is needed. */
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, value + more, memory_order_relaxed);
}

static void completed(void *owner, struct client_request *request)
{
    struct load_thread *thread = ((struct load_thread_client *)owner)->thread;
    enum workload_command command = workload_command_of(request->command);

    count_one(&thread->requests_done, 1);
    count_one(&thread->bytes_done, request->length_bytes);
    if (thread->shared->config->verify != NULL)
        settle_blocks(thread->shared->config, request, command_rows[command].use);
    if (!is_counted(thread, request))
        return;
    struct load_command_result *result = &thread->commands[command];
    result->requests++;
    result->bytes += request->length_bytes;
    histogram_record(&result->latency, thread->now_ns - request->start_ns);
    thread->last_completion_ns = thread->now_ns;
}

static void ended(void *owner, const struct error *err)
{
    struct load_thread *thread = ((struct load_thread_client *)owner)->thread;

    if (err != NULL) {
        if (!thread->failed)
            thread->failure = *err;
        thread->failed = true;
        atomic_store(&thread->shared->stopping, true);
    }
    if (++thread->ended_count == thread->client_count)
        loop_stop(thread->loop);
}
