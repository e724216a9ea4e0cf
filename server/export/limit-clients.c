#include "server/export/limit-clients.h"

#include <stdlib.h>
#include <string.h>

#include "server/loop/loop.h"

struct limit_client {
    struct limit_client *next; /* in its bucket */
    unsigned users;            /* its connections; 0: it still owes something */
    struct limit_set set;
    char identity[];
};

/* Who chooses his identity so that he meets others makes their coming slower, by nothing else. */
static struct limit_client **bucket_of(struct limit_clients *clients, const char *identity)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

    for (; *identity != '\0'; identity++)
        hash = (hash ^ (uint8_t)*identity) * UINT64_C(1099511628211);
    return &clients->buckets[(hash ^ hash >> 32) % LIMIT_CLIENTS_BUCKETS];
}

static struct limit_client *create(const char *identity)
{
    size_t bytes = strlen(identity) + 1;
    struct limit_client *client = calloc(1, sizeof *client + bytes);

    if (client != NULL)
        memcpy(client->identity, identity, bytes);
    return client;
}

static struct limit_client *find(struct limit_client *first, const char *identity)
{
    while (first != NULL && strcmp(first->identity, identity) != 0)
        first = first->next;
    return first;
}

/* Takes out those that are of no use any more, into a list. */
static struct limit_client *take_unused(struct limit_client **link, uint64_t now_ns)
{
    struct limit_client *unused = NULL;

    while (*link != NULL) {
        struct limit_client *one = *link;

        if (one->users > 0 || limit_set_owes(&one->set, now_ns)) {
            link = &one->next;
            continue;
        }
        *link = one->next;
        one->next = unused;
        unused = one;
    }
    return unused;
}

static void free_list(struct limit_client *first)
{
    while (first != NULL) {
        struct limit_client *next = first->next;

        free(first);
        first = next;
    }
}

/* Memory is asked for and given back without the mutex. */
struct limit_set *limit_clients_enter(struct limit_clients *clients, const char *identity,
                                      uint64_t now_ns)
{
    struct limit_client **bucket = bucket_of(clients, identity);
    struct limit_client *new = create(identity);

    if (new == NULL)
        return NULL;
    pthread_mutex_lock(&clients->mutex);
    struct limit_client *client = find(*bucket, identity);
    if (client == NULL) {
        client = new;
        limit_set_use(&client->set, &clients->terms, now_ns);
        client->next = *bucket;
        *bucket = client;
        new = NULL;
    }
    client->users++;
    struct limit_client *unused = take_unused(bucket, now_ns);
    pthread_mutex_unlock(&clients->mutex);
    free(new);
    free_list(unused);
    return &client->set;
}

void limit_clients_leave(struct limit_clients *clients, struct limit_set *set, uint64_t now_ns)
{
    struct limit_client *client = container_of(set, struct limit_client, set);
    struct limit_client **bucket = bucket_of(clients, client->identity);

    pthread_mutex_lock(&clients->mutex);
    client->users--;
    struct limit_client *unused = take_unused(bucket, now_ns);
    pthread_mutex_unlock(&clients->mutex);
    free_list(unused);
}

void limit_clients_use(struct limit_clients *clients, const struct limit_terms *terms,
                       uint64_t now_ns)
{
    pthread_mutex_lock(&clients->mutex);
    clients->terms = *terms;
    for (unsigned i = 0; i < LIMIT_CLIENTS_BUCKETS; i++)
        for (struct limit_client *one = clients->buckets[i]; one != NULL; one = one->next)
            limit_set_use(&one->set, terms, now_ns);
    pthread_mutex_unlock(&clients->mutex);
}

void limit_clients_free(struct limit_clients *clients)
{
    for (unsigned i = 0; i < LIMIT_CLIENTS_BUCKETS; i++) {
        free_list(clients->buckets[i]);
        clients->buckets[i] = NULL;
    }
}
