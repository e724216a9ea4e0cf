#include "server/block/image-claim.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/retry.h"

struct image_claim {
    struct image_claim *next;
    char *identity;
    char *export_name; /* NULL: a command */
    uint64_t offset_bytes, size_bytes;
    bool leaves;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct image_claim *claims;

static void free_claim(struct image_claim *claim)
{
    free(claim->identity);
    free(claim->export_name);
    free(claim);
}

static struct image_claim *create(const struct image_claim_wish *wish)
{
    struct image_claim *claim = calloc(1, sizeof *claim);

    if (claim == NULL)
        return NULL;
    claim->offset_bytes = wish->offset_bytes;
    claim->size_bytes = wish->size_bytes;
    claim->identity = strdup(wish->identity);
    if (wish->export_name != NULL)
        claim->export_name = strdup(wish->export_name);
    if (claim->identity != NULL && (claim->export_name != NULL || wish->export_name == NULL))
        return claim;
    free_claim(claim);
    return NULL;
}

/* Does `one` begin in front of the end of `other`? */
static bool reaches(const struct image_claim *one, const struct image_claim *other)
{
    return other->size_bytes == 0 || one->offset_bytes < other->offset_bytes ||
           one->offset_bytes - other->offset_bytes < other->size_bytes;
}

/* With the mutex. */
static const struct image_claim *find_other(const struct image_claim *claim)
{
    const struct image_claim *one = claims;

    while (one != NULL && (strcmp(one->identity, claim->identity) != 0 || !reaches(one, claim) ||
                           !reaches(claim, one)))
        one = one->next;
    return one;
}

static void explain(const struct image_claim *other, struct error *err)
{
    if (other->export_name == NULL)
        error_set(err, -EBUSY, "this program writes it already");
    else if (other->leaves)
        error_set(err, -EBUSY,
                  "export '%s' is being removed and still has it in use: try again when its "
                  "clients have gone and what they wrote is flushed, which nbdcrypt ctl remove "
                  "waits for",
                  other->export_name);
    else
        error_set(err, -EBUSY,
                  "export '%s' writes it already: remove that one first, or serve one of the two "
                  "with read-only",
                  other->export_name);
}

/* As image_claim_take(); `worth_waiting` is set when it fails. */
static int try_to_take(struct image_claim *claim, bool *worth_waiting, struct error *err)
{
    (void)pthread_mutex_lock(&mutex);
    const struct image_claim *other = find_other(claim);
    if (other != NULL) {
        explain(other, err);
        *worth_waiting = other->leaves || other->export_name == NULL; /* for a moment, then */
    } else {
        claim->next = claims;
        claims = claim;
    }
    (void)pthread_mutex_unlock(&mutex);
    return other == NULL ? 0 : -EBUSY;
}

int image_claim_take(struct image_claim **out, const struct image_claim_wish *wish,
                     struct error *err)
{
    struct image_claim *claim = create(wish);
    struct retry retry = { 0 };
    bool worth_waiting = false;
    int result;

    if (claim == NULL)
        return error_no_memory(err, NULL);
    do {
        result = try_to_take(claim, &worth_waiting, err);
    } while (result < 0 && worth_waiting && retry_wait(&retry));
    if (result < 0)
        free_claim(claim);
    else
        *out = claim;
    return result;
}

int image_claim_share(struct image_claim **out, const struct image_claim_wish *wish,
                      struct error *err)
{
    struct image_claim *claim = create(wish);

    if (claim == NULL)
        return error_no_memory(err, NULL);
    (void)pthread_mutex_lock(&mutex);
    claim->next = claims;
    claims = claim;
    (void)pthread_mutex_unlock(&mutex);
    *out = claim;
    return 0;
}

bool image_claim_is_of(const struct image_claim *claim, const char *identity)
{
    return strcmp(claim->identity, identity) == 0;
}

void image_claim_leaves(struct image_claim *claim)
{
    if (claim == NULL)
        return;
    (void)pthread_mutex_lock(&mutex);
    claim->leaves = true;
    (void)pthread_mutex_unlock(&mutex);
}

void image_claim_release(struct image_claim *claim)
{
    struct image_claim **link = &claims;

    if (claim == NULL)
        return;
    (void)pthread_mutex_lock(&mutex);
    while (*link != claim)
        link = &(*link)->next;
    *link = claim->next;
    (void)pthread_mutex_unlock(&mutex);
    free_claim(claim);
}
