#include "plugins/rbd/rbd-header.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "server/base/log.h"

#define LOOK_MS 1000u
#define CLOSE_POLL_MS 5u
#define SIZE_ANSWER_BYTES 9u /* the binary logarithm of the size of an object, and the size */

static void start_look(struct rbd_header *header);
static void ask(struct rbd_question *question, const char *object, const char *method, char *answer,
                size_t answer_bytes);
static void answered(rados_completion_t completion, void *context);
static void question_done(struct rbd_header *header);
static int conclude(struct rbd_header *header);

/* ---- numbers as the cluster writes them ---- */

static void put_le(uint8_t *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get_le64(const uint8_t *in)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < 8; i++)
        value |= (uint64_t)in[i] << 8 * i;
    return value;
}

/* ---- life ---- */

void rbd_header_init(struct rbd_header *header, const struct rbd_disk *disk)
{
    size_t id_bytes = strlen(disk->id);

    header->disk = disk;
    snprintf(header->object, sizeof header->object, "rbd_header.%s", disk->id);
    header->size.header = header->trash.header = header;
    put_le(header->size.argument, disk->snapshot_id, 8);
    header->size.argument_bytes = 8;
    put_le(header->trash.argument, id_bytes, 4);
    memcpy(header->trash.argument + 4, disk->id, id_bytes);
    header->trash.argument_bytes = 4 + id_bytes;
    header->asks_trash = disk->read_only;
    atomic_store(&header->size_bytes, disk->size_bytes);
    pthread_mutex_init(&header->lock, NULL);
}

static bool is_looking(struct rbd_header *header)
{
    pthread_mutex_lock(&header->lock);
    bool looking = header->looking;
    pthread_mutex_unlock(&header->lock);
    return looking;
}

void rbd_header_close(struct rbd_header *header)
{
    struct timespec step = { .tv_nsec = CLOSE_POLL_MS * 1000000L };

    while (is_looking(header))
        nanosleep(&step, NULL);
    pthread_mutex_destroy(&header->lock);
}

/* ---- asking ---- */

/* `job`: who waits for the answer, or NULL. */
static void look_for(struct rbd_header *header, struct offload_job *job)
{
    pthread_mutex_lock(&header->lock);
    struct offload_job **list = header->looking ? &header->waiting : &header->asked;
    bool start = !header->looking;
    if (job != NULL) {
        job->next = *list;
        *list = job;
    }
    header->look_again = !start;
    header->looking = true;
    pthread_mutex_unlock(&header->lock);
    if (start)
        start_look(header);
}

void rbd_header_look(struct rbd_header *header)
{
    look_for(header, NULL);
}

void rbd_header_confirm(struct rbd_header *header, struct offload_job *job)
{
    look_for(header, job);
}

bool rbd_header_is_there(struct rbd_header *header)
{
    struct timespec now;

    if (atomic_load_explicit(&header->gone, memory_order_relaxed))
        return false;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    uint64_t looked_ms = atomic_load_explicit(&header->looked_ms, memory_order_relaxed);
    if (now_ms - looked_ms >= LOOK_MS &&
        atomic_compare_exchange_strong(&header->looked_ms, &looked_ms, now_ms))
        rbd_header_look(header);
    return true;
}

/* ---- one look, in order of execution ---- */

static void start_look(struct rbd_header *header)
{
    atomic_store(&header->unanswered, header->asks_trash ? 2 : 1);
    if (header->asks_trash)
        ask(&header->trash, "rbd_trash", "trash_get", NULL, 0);
    ask(&header->size, header->object, "get_size", header->size_answer, sizeof header->size_answer);
}

static void ask(struct rbd_question *question, const char *object, const char *method, char *answer,
                size_t answer_bytes)
{
    rados_completion_t completion;
    int code = ceph.rados_aio_create_completion2(question, answered, &completion);

    if (code == 0) {
        code = ceph.rados_aio_exec(question->header->disk->pool, object, completion, "rbd", method,
                                   (const char *)question->argument, question->argument_bytes,
                                   answer, answer_bytes);
        if (code == 0)
            return;
        ceph.rados_aio_release(completion);
    }
    question->code = code;
    question_done(question->header);
}

/* A thread of librados's. */
static void answered(rados_completion_t completion, void *context)
{
    struct rbd_question *question = context;

    question->code = ceph.rados_aio_get_return_value(completion);
    ceph.rados_aio_release(completion);
    question_done(question->header);
}

static void question_done(struct rbd_header *header)
{
    if (atomic_fetch_sub(&header->unanswered, 1) != 1)
        return;
    int result = conclude(header);

    pthread_mutex_lock(&header->lock);
    struct offload_job *asked = header->asked;
    header->asked = header->waiting;
    header->waiting = NULL;
    header->looking = header->look_again;
    header->look_again = false;
    bool again = header->looking;
    pthread_mutex_unlock(&header->lock);

    if (again)
        start_look(header);
    while (asked != NULL) { /* the image may be closed as soon as the last one has its answer */
        struct offload_job *next = asked->next;

        asked->done.result = result;
        loop_post(asked->loop, &asked->done);
        asked = next;
    }
}

static void note_size(struct rbd_header *header, uint64_t now_bytes)
{
    const struct rbd_disk *disk = header->disk;

    if (atomic_exchange(&header->size_bytes, now_bytes) == now_bytes)
        return;
    if (now_bytes < disk->size_bytes)
        log_write_of(LOG_ERROR, disk->name, "it was cut to %llu bytes; requests behind that fail",
                     (unsigned long long)now_bytes);
    else
        log_write_of(LOG_WARNING, disk->name,
                     "it has %llu bytes now, and is served with the %llu it had at the start",
                     (unsigned long long)now_bytes, (unsigned long long)disk->size_bytes);
}

/* Who may not look into the trash has to do without. */
static int conclude(struct rbd_header *header)
{
    bool in_trash = header->asks_trash && header->trash.code >= 0;

    if (in_trash || header->size.code == -ENOENT) {
        if (!atomic_exchange(&header->gone, true))
            log_write_of(LOG_ERROR, header->disk->name,
                         "it was removed from the cluster while it was served; requests fail from "
                         "now on");
        return -ENOENT;
    }
    if (header->size.code < 0)
        return header->size.code;
    if (header->size.code != SIZE_ANSWER_BYTES)
        return -EBADMSG;
    note_size(header, get_le64((const uint8_t *)header->size_answer + 1));
    return 0;
}
