#include "server/serve/spawner-end.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "server/base/log.h"
#include "server/base/spawner.h"

/* One of the processes, the last one first: from its start on, though the loop may never hear of
 * it, when the server fails to start. */
struct watched {
    struct watched *next;
    struct spawner_end *owner;
    struct loop_message started;
    struct io_event ended;
    int pidfd;
};

struct spawner_end {
    struct loop *loop;
    struct offload *const *offload;
    struct offload_job restore; /* one at a time */
    bool restoring, again;
    bool told_of_the_last;
    bool as_needed; /* of the job */
    struct error why;
    pthread_mutex_t mutex; /* of the list */
    struct watched *first;
    bool stopping;
};

static void forget(struct watched *one)
{
    struct watched **link = &one->owner->first;

    pthread_mutex_lock(&one->owner->mutex);
    while (*link != one)
        link = &(*link)->next;
    *link = one->next;
    pthread_mutex_unlock(&one->owner->mutex);
    close(one->pidfd);
    free(one);
}

static void restore(struct offload_job *job)
{
    struct spawner_end *owner = container_of(job, struct spawner_end, restore);

    job->done.result = spawner_restore(&owner->as_needed, &owner->why);
}

static void begin_to_restore(struct spawner_end *owner);

static void tell_of_the_last(struct spawner_end *owner)
{
    if (!owner->told_of_the_last)
        log_error("the processes beside this one, which start programs, have ended, and the "
                  "sandbox lets no other one be started: no key-command can be asked, and a server "
                  "that is killed has no report, before it is started again");
    owner->told_of_the_last = true;
}

static void restored(struct io_event *ev, int result)
{
    struct spawner_end *owner = container_of(ev, struct spawner_end, restore.done.event);

    owner->restoring = false;
    if (owner->stopping)
        return;
    if (result == 0)
        log_warning("the process beside this one, which starts programs, has ended; another one %s",
                    owner->as_needed ? "is started when it is needed" : "has taken its place");
    else if (spawner_is_gone())
        tell_of_the_last(owner);
    else
        log_error("one of the processes beside this one, which start programs, has ended: %s; when "
                  "the other one ends, no key-command can be asked",
                  owner->why.text);
    if (owner->again)
        begin_to_restore(owner);
}

static void begin_to_restore(struct spawner_end *owner)
{
    owner->again = owner->restoring;
    if (owner->restoring)
        return;
    owner->restoring = true;
    offload_run(*owner->offload, &owner->restore);
}

static void has_ended(struct io_event *ev, int result)
{
    struct watched *one = container_of(ev, struct watched, ended);
    struct spawner_end *owner = one->owner;

    (void)result;
    forget(one);
    if (!owner->stopping)
        begin_to_restore(owner);
}

static void was_started(struct io_event *ev, int result)
{
    struct watched *one = container_of(ev, struct watched, started.event);

    (void)result;
    loop_poll(one->owner->loop, &one->ended, one->pidfd, POLLIN);
    if (one->owner->stopping)
        loop_cancel(one->owner->loop, &one->ended);
}

/* Any thread.  One that can't be watched is waited for when the next program is to be started. */
static void watch(void *context, pid_t process)
{
    struct spawner_end *owner = context;
    struct watched *one = calloc(1, sizeof *one);

    if (one == NULL)
        return;
    one->owner = owner;
    one->started.event.fn = was_started;
    one->ended.fn = has_ended;
    one->pidfd = pidfd_open(process, 0);
    if (one->pidfd < 0) {
        free(one);
        return;
    }
    pthread_mutex_lock(&owner->mutex);
    one->next = owner->first;
    owner->first = one;
    pthread_mutex_unlock(&owner->mutex);
    loop_post(owner->loop, &one->started);
}

int spawner_end_watch(struct spawner_end **out, struct loop *loop, struct offload *const *offload,
                      struct error *err)
{
    struct spawner_end *owner = calloc(1, sizeof *owner);

    if (owner == NULL)
        return error_no_memory(err, NULL);
    owner->loop = loop;
    owner->offload = offload;
    owner->restore =
        (struct offload_job){ .work = restore, .done.event.fn = restored, .loop = loop };
    pthread_mutex_init(&owner->mutex, NULL);
    *out = owner;
    spawner_tell_started(watch, owner);
    return 0;
}

void spawner_end_stop(struct spawner_end *owner)
{
    if (owner == NULL)
        return;
    owner->stopping = true;
    spawner_tell_started(NULL, NULL);
    pthread_mutex_lock(&owner->mutex);
    for (struct watched *one = owner->first; one != NULL; one = one->next)
        loop_cancel(owner->loop, &one->ended);
    pthread_mutex_unlock(&owner->mutex);
}

void spawner_end_free(struct spawner_end *owner)
{
    if (owner == NULL)
        return;
    for (struct watched *one = owner->first, *next; one != NULL; one = next) {
        next = one->next;
        close(one->pidfd);
        free(one);
    }
    pthread_mutex_destroy(&owner->mutex);
    free(owner);
}
