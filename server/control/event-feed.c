#include "server/control/event-feed.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/base/event.h"
#include "server/control/control-json.h"
#include "server/control/varlink-message.h"

/* A copy of an event; its texts stand behind it. */
struct told {
    struct told *next;
    struct timespec time;
    struct event event;
    char texts[];
};

static struct {
    struct loop *loop;
    event_feed_fn *fn;
    void *context;
    uint64_t seq;
    _Atomic(struct told *) newest;
    atomic_uint waiting; /* on their way; each has a place before it is made */
    atomic_uint_fast64_t lost;
    atomic_bool posted; /* `arrived` is on its way */
    struct loop_message arrived;
} feed;

/* ---- any thread ---- */

static size_t room_bytes(const char *text)
{
    return text != NULL ? strlen(text) + 1 : 0;
}

static const char *put_text(char **at, const char *text)
{
    size_t bytes = room_bytes(text);
    char *copy = *at;

    if (text == NULL)
        return NULL;
    memcpy(copy, text, bytes);
    *at += bytes;
    return copy;
}

static struct told *copy_event(const struct event *event)
{
    struct told *told = malloc(sizeof *told + room_bytes(event->export) + room_bytes(event->peer) +
                               room_bytes(event->reason));

    if (told == NULL)
        return NULL;
    char *at = told->texts;
    told->event = *event;
    told->event.export = put_text(&at, event->export);
    told->event.peer = put_text(&at, event->peer);
    told->event.reason = put_text(&at, event->reason);
    clock_gettime(CLOCK_REALTIME, &told->time);
    return told;
}

static void push(struct told *told)
{
    told->next = atomic_load_explicit(&feed.newest, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&feed.newest, &told->next, told,
                                                  memory_order_release, memory_order_relaxed))
        continue;
}

static void put(const struct event *event)
{
    bool room = atomic_fetch_add(&feed.waiting, 1) < EVENT_FEED_MAX;
    struct told *told = room ? copy_event(event) : NULL;

    if (told != NULL) {
        push(told);
    } else {
        atomic_fetch_sub(&feed.waiting, 1);
        atomic_fetch_add(&feed.lost, 1);
    }
    if (!atomic_exchange(&feed.posted, true))
        loop_post(feed.loop, &feed.arrived);
}

/* ---- on the loop ---- */

static struct json_object *event_json(const struct told *told)
{
    struct json_object *json = json_object_new_object();
    const struct event *event = &told->event;

    control_add_number(json, "seq", feed.seq);
    control_add_time(json, "time", &told->time);
    control_add_text(json, "type", event->type);
    if (event->export != NULL)
        control_add_text(json, "export", event->export);
    if (event->peer != NULL)
        control_add_text(json, "peer", event->peer);
    if (event->reason != NULL)
        control_add_text(json, "reason", event->reason);
    if (event->size_bytes != 0)
        control_add_number(json, "size_bytes", event->size_bytes);
    return json;
}

/* The oldest first. */
static struct told *take_all(void)
{
    struct told *newest = atomic_exchange_explicit(&feed.newest, NULL, memory_order_acquire);
    struct told *oldest = NULL;

    while (newest != NULL) {
        struct told *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static void arrived(struct io_event *ev, int result)
{
    (void)ev;
    (void)result;
    atomic_store(&feed.posted, false); /* what comes from here on posts anew */
    uint64_t lost = atomic_exchange(&feed.lost, 0);
    struct told *told = take_all();

    feed.seq += lost;
    if (told == NULL && lost > 0)
        feed.fn(feed.context, NULL, lost);
    while (told != NULL) {
        struct told *next = told->next;

        feed.seq++;
        feed.fn(feed.context, event_json(told), lost);
        lost = 0;
        free(told);
        atomic_fetch_sub(&feed.waiting, 1);
        told = next;
    }
}

void event_feed_start(struct loop *loop, event_feed_fn *fn, void *context)
{
    static const struct event_sink sink = { put };

    feed.loop = loop;
    feed.fn = fn;
    feed.context = context;
    feed.seq = 0;
    feed.arrived.event.fn = arrived;
    event_set_sink(EVENT_FEED, &sink);
}

void event_feed_stop(void)
{
    event_set_sink(EVENT_FEED, NULL);
    for (struct told *told = take_all(), *next; told != NULL; told = next) {
        next = told->next;
        free(told);
    }
    atomic_store(&feed.waiting, 0);
    atomic_store(&feed.posted, false);
}

uint64_t event_feed_seq(void)
{
    return feed.seq;
}
