#include "server/export/limit-groups.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/loop/loop.h"

struct limit_group {
    struct limit_group *_Atomic next;
    struct limit_set set;
    struct limit_terms configured; /* for those who change it */
    atomic_bool is_configured;
    char name[];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* while one is looked for or made */
static struct limit_group *_Atomic first;
static unsigned count;

/* Where the next one stands, or would. */
static struct limit_group *_Atomic *find(const char *name)
{
    struct limit_group *_Atomic *link = &first;

    for (struct limit_group *one; (one = atomic_load(link)) != NULL; link = &one->next)
        if (strcmp(one->name, name) == 0)
            break;
    return link;
}

static struct limit_group *create(const char *name)
{
    size_t bytes = strlen(name) + 1;
    struct limit_group *group = count < LIMIT_GROUPS_MAX ? calloc(1, sizeof *group + bytes) : NULL;

    if (group == NULL)
        return NULL;
    memcpy(group->name, name, bytes);
    count++;
    return group;
}

struct limit_set *limit_groups_get(const char *name)
{
    pthread_mutex_lock(&mutex);
    struct limit_group *_Atomic *link = find(name);
    struct limit_group *group = atomic_load(link);
    if (group == NULL) {
        group = create(name);
        atomic_store(link, group);
    }
    pthread_mutex_unlock(&mutex);
    return group != NULL ? &group->set : NULL;
}

const char *limit_group_name(const struct limit_set *group)
{
    return container_of(group, const struct limit_group, set)->name;
}

void limit_group_use(struct limit_set *group, const struct limit_terms *terms, uint64_t now_ns)
{
    if (!limit_terms_equal(terms, &group->terms))
        limit_set_use(group, terms, now_ns);
}

void limit_group_configure(struct limit_set *set, const struct limit_terms *terms, uint64_t now_ns)
{
    static const struct limit_terms none;
    struct limit_group *group = container_of(set, struct limit_group, set);
    const struct limit_terms *next = terms != NULL ? terms : &none;

    if (terms == NULL || !limit_terms_equal(next, &group->configured))
        limit_group_use(set, next, now_ns);
    group->configured = *next;
    atomic_store(&group->is_configured, terms != NULL);
}

bool limit_group_is_configured(const struct limit_set *group)
{
    return atomic_load(&container_of(group, const struct limit_group, set)->is_configured);
}

/* Whoever counts meanwhile has one of both. */
void limit_group_weigh(struct limit_set *group, struct limit_part *part, unsigned weight)
{
    atomic_fetch_add(&group->weight, weight - atomic_exchange(&part->weight, weight));
}

struct limit_set *limit_groups_next(const struct limit_set *group)
{
    struct limit_group *next =
        group == NULL ? atomic_load(&first)
                      : atomic_load(&container_of(group, const struct limit_group, set)->next);

    return next != NULL ? &next->set : NULL;
}

unsigned limit_groups_configured(void)
{
    unsigned configured = 0;

    for (const struct limit_set *group = limit_groups_next(NULL); group != NULL;
         group = limit_groups_next(group))
        configured += limit_group_is_configured(group);
    return configured;
}
