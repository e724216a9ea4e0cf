#include "server/block/range-lock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

struct range_lock {
    pthread_mutex_t mutex;
    uint64_t claims;                        /* so far */
    struct range_claim *listed;             /* those in no tree: there was no exclusive claim */
    struct treap ranges;                    /* of the others: what they share, granted or not */
    struct treap blocks;                    /* with exclusive claims */
    struct treap patient;                   /* by number */
    struct range_edge *oldest, *newest;     /* exclusive claims to blocks, in order of arrival */
    struct range_claim *woken, **woken_end; /* granted now, to be told when the mutex is open */
    struct range_stripes stripes;
};

static void part_granted(struct range_lock *lock, struct range_claim *claim);

int range_lock_create(struct range_lock **out, struct error *err)
{
    struct range_lock *lock = calloc(1, sizeof *lock);
    uint64_t seed = 0;

    if (lock == NULL)
        return error_no_memory(err, "for a range lock");
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
        seed = (uint64_t)time(NULL); /* early at boot: good enough to begin with */
    pthread_mutex_init(&lock->mutex, NULL);
    range_cover_init(&lock->ranges, seed | 1);
    range_hot_init(&lock->blocks, seed | 2);
    treap_init(&lock->patient, seed | 4);
    lock->woken_end = &lock->woken;
    *out = lock;
    return 0;
}

void range_lock_destroy(struct range_lock *lock)
{
    if (lock == NULL)
        return;
    pthread_mutex_destroy(&lock->mutex);
    free(lock);
}

/* ---- what a claim consists of ---- */

static bool is_exclusive(const struct range_claim *claim)
{
    return (claim->first_alone_bytes | claim->last_alone_bytes) != 0;
}

static uint64_t shared_start(const struct range_claim *claim)
{
    return claim->start_bytes + claim->first_alone_bytes;
}

static uint64_t shared_end(const struct range_claim *claim)
{
    return claim->end_bytes - claim->last_alone_bytes;
}

static bool has_shared(const struct range_claim *claim)
{
    return shared_start(claim) < shared_end(claim);
}

/* Its exclusive edges one by one: from NULL to NULL. */
static struct range_edge *next_edge(struct range_claim *claim, const struct range_edge *edge)
{
    if (edge == NULL && claim->first_alone_bytes > 0)
        return &claim->edges[0];
    return edge != &claim->edges[1] && claim->last_alone_bytes > 0 ? &claim->edges[1] : NULL;
}

static struct range_claim *claim_of(struct range_edge *edge)
{
    return container_of(edge - edge->is_last, struct range_claim, edges[0]);
}

/* ---- the list of those that nobody was in the way of ---- */

static void list_add(struct range_lock *lock, struct range_claim *claim)
{
    claim->listed = true;
    claim->previous = NULL;
    claim->next = lock->listed;
    if (claim->next != NULL)
        claim->next->previous = claim;
    lock->listed = claim;
}

static void list_remove(struct range_lock *lock, struct range_claim *claim)
{
    if (claim->previous != NULL)
        claim->previous->next = claim->next;
    else
        lock->listed = claim->next;
    if (claim->next != NULL)
        claim->next->previous = claim->previous;
}

static void cover(struct range_lock *lock, struct range_claim *claim)
{
    claim->listed = false;
    range_cover_add(&lock->ranges, &claim->cover, shared_start(claim), shared_end(claim));
}

/* Now it counts where they are.  Each claim is listed once at most. */
static void cover_listed(struct range_lock *lock)
{
    while (lock->listed != NULL) {
        struct range_claim *claim = lock->listed;

        lock->listed = claim->next;
        cover(lock, claim);
    }
}

/* ---- a shared range: no older exclusive claim may lie in it ---- */

static void park(struct range_claim *claim, struct range_edge *edge)
{
    claim->next = edge->parked;
    edge->parked = claim;
}

/* True: nothing is in its way.  All that is there came before it. */
static bool shared_enter(struct range_lock *lock, struct range_claim *claim)
{
    struct range_edge *edge =
        range_hot_find(&lock->blocks, shared_start(claim), shared_end(claim), claim->number);

    cover(lock, claim);
    if (edge == NULL)
        return true;
    claim->looks = 0;
    park(claim, edge->hot.last);
    return false;
}

/* The edge at `from_bytes` that it was parked behind has left. */
static void look_again(struct range_lock *lock, struct range_claim *claim, uint64_t from_bytes)
{
    struct range_edge *edge =
        range_hot_find(&lock->blocks, from_bytes, shared_end(claim), claim->number);

    if (edge == NULL)
        part_granted(lock, claim);
    else if (++claim->looks < RANGE_LOOKS_MAX)
        park(claim, edge);
    else
        treap_insert(&lock->patient, &claim->patient, claim->number);
}

/* ---- an exclusive edge ---- */

static void edge_granted(void *context, struct range_edge *edge)
{
    part_granted(context, claim_of(edge));
}

static bool edge_enter(struct range_lock *lock, struct range_claim *claim, struct range_edge *edge)
{
    edge->is_last = edge == &claim->edges[1];
    edge->at_bytes =
        edge->is_last ? claim->end_bytes - claim->last_alone_bytes : claim->start_bytes;
    edge->number = claim->number;
    edge->parked = NULL;
    edge->newer = NULL;
    edge->older = lock->newest;
    if (lock->newest != NULL)
        lock->newest->newer = edge;
    else
        lock->oldest = edge;
    lock->newest = edge;
    return range_hot_enter(&lock->blocks, edge, range_cover_count(&lock->ranges, edge->at_bytes));
}

static void unlink_edge(struct range_lock *lock, struct range_edge *edge)
{
    if (edge->older != NULL)
        edge->older->newer = edge->newer;
    else
        lock->oldest = edge->newer;
    if (edge->newer != NULL)
        edge->newer->older = edge->older;
    else
        lock->newest = edge->older;
}

/* What waits until all exclusive claims before it have left. */
static void grant_patient(struct range_lock *lock)
{
    struct treap_node *first;

    while ((first = treap_first(&lock->patient)) != NULL &&
           (lock->oldest == NULL || first->key <= lock->oldest->number)) {
        treap_remove(&lock->patient, first);
        part_granted(lock, container_of(first, struct range_claim, patient));
    }
}

static void edge_leave(struct range_lock *lock, struct range_edge *edge)
{
    struct range_claim *claim = edge->parked;

    unlink_edge(lock, edge);
    range_hot_leave(&lock->blocks, edge, edge_granted, lock);
    while (claim != NULL) {
        struct range_claim *next = claim->next;

        look_again(lock, claim, edge->at_bytes);
        claim = next;
    }
    grant_patient(lock);
}

static void shared_leave(struct range_lock *lock, struct range_claim *claim)
{
    range_cover_remove(&lock->ranges, &claim->cover);
    range_hot_passed(&lock->blocks, shared_start(claim), shared_end(claim), edge_granted, lock);
}

/* ---- all of it ---- */

struct range_stripes *range_lock_stripes(struct range_lock *lock)
{
    return &lock->stripes;
}

static void tell_reads(struct range_lock *lock, struct range_claim *claim, bool granted)
{
    struct range_edge *edge = NULL;

    while ((edge = next_edge(claim, edge)) != NULL) {
        struct range_stripe *stripe =
            range_stripe_at(&lock->stripes, edge->at_bytes >> RANGE_STRIPE_SHIFT);

        atomic_fetch_add(granted ? &stripe->granted : &stripe->released, 1);
    }
}

static void granted(struct range_lock *lock, struct range_claim *claim)
{
    tell_reads(lock, claim, true);
    claim->next = NULL;
    *lock->woken_end = claim;
    lock->woken_end = &claim->next;
}

static void part_granted(struct range_lock *lock, struct range_claim *claim)
{
    if (--claim->pending == 0)
        granted(lock, claim);
}

/* The trees.  True: granted. */
static bool enter(struct range_lock *lock, struct range_claim *claim)
{
    struct range_edge *edge = NULL;

    cover_listed(lock);
    claim->listed = false;
    claim->pending = has_shared(claim) && !shared_enter(lock, claim);
    while ((edge = next_edge(claim, edge)) != NULL)
        claim->pending += !edge_enter(lock, claim, edge);
    if (claim->pending > 0)
        return false;
    tell_reads(lock, claim, true);
    return true;
}

bool range_lock_claim(struct range_lock *lock, struct range_claim *claim)
{
    bool granted = true;

    pthread_mutex_lock(&lock->mutex);
    claim->number = lock->claims++;
    if (lock->oldest == NULL && !is_exclusive(claim))
        list_add(lock, claim);
    else
        granted = enter(lock, claim);
    pthread_mutex_unlock(&lock->mutex);
    return granted;
}

static void leave(struct range_lock *lock, struct range_claim *claim)
{
    struct range_edge *edge = NULL;

    tell_reads(lock, claim, false);
    if (has_shared(claim))
        shared_leave(lock, claim);
    while ((edge = next_edge(claim, edge)) != NULL)
        edge_leave(lock, edge);
}

/* A claim that has been told is not ours any more. */
static void wake(struct range_claim *claim)
{
    while (claim != NULL) {
        struct range_claim *next = claim->next;

        claim->message.result = 0;
        loop_post(claim->loop, &claim->message);
        claim = next;
    }
}

void range_lock_release(struct range_lock *lock, struct range_claim *claim)
{
    struct range_claim *woken = NULL;

    pthread_mutex_lock(&lock->mutex);
    if (claim->listed) {
        list_remove(lock, claim);
    } else {
        leave(lock, claim);
        woken = lock->woken;
        lock->woken = NULL;
        lock->woken_end = &lock->woken;
    }
    pthread_mutex_unlock(&lock->mutex);
    wake(woken);
}
