#include "server/connection/nbd-command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLAB_SLOTS 32u
/* Each connection may have this many more fragments than commands on average. */
#define FRAGMENTS_PER_COMMAND 2u

union slot_link {
    struct slab *next;
    max_align_t align;
};

struct slab {
    union slot_link link;
    unsigned char slots[];
};

/* Slots of one size, made a slab at a time when they are needed; never given back to the
 * system before the end, so the most recently used one is warm. */
struct slots {
    size_t slot_bytes;
    int left; /* of the limit; less than 0: so many beyond it, as is guaranteed */
    struct slab *slabs;
    void *free; /* list through the first pointer of each slot */
};

struct request_pool {
    struct slots commands, fragments;
};

static void slots_init(struct slots *slots, size_t slot_bytes, unsigned limit)
{
    size_t align = _Alignof(max_align_t);

    *slots = (struct slots){
        .slot_bytes = (slot_bytes + align - 1) / align * align,
        .left = (int)limit,
    };
}

static void slots_free(struct slots *slots)
{
    while (slots->slabs != NULL) {
        struct slab *slab = slots->slabs;

        slots->slabs = slab->link.next;
        free(slab);
    }
}

RARELY static bool slots_grow(struct slots *slots)
{
    struct slab *slab = malloc(sizeof *slab + SLAB_SLOTS * slots->slot_bytes);
    if (slab == NULL)
        return false;
    slab->link.next = slots->slabs;
    slots->slabs = slab;
    for (unsigned i = SLAB_SLOTS; i-- > 0;) {
        void *slot = slab->slots + i * slots->slot_bytes;

        *(void **)slot = slots->free;
        slots->free = slot;
    }
    return true;
}

/* `held`: what the asker has of them; up to `guaranteed` it gets one in any case. */
static inline void *slots_take(struct slots *slots, unsigned held, unsigned guaranteed)
{
    if (held >= guaranteed && (int)held >= slots->left)
        return NULL;
    if (slots->free == NULL && !slots_grow(slots))
        return NULL;
    void *slot = slots->free;
    slots->free = *(void **)slot;
    slots->left--;
    return slot;
}

static void slots_give(struct slots *slots, void *slot)
{
    *(void **)slot = slots->free;
    slots->free = slot;
    slots->left++;
}

int request_pool_create(struct request_pool **out, unsigned commands_max, struct error *err)
{
    struct request_pool *pool = calloc(1, sizeof *pool);

    if (pool == NULL)
        return error_no_memory(err, "for requests");
    slots_init(&pool->commands, sizeof(struct command), commands_max);
    slots_init(&pool->fragments, sizeof(struct fragment), commands_max * FRAGMENTS_PER_COMMAND);
    *out = pool;
    return 0;
}

void request_pool_destroy(struct request_pool *pool)
{
    if (pool == NULL)
        return;
    slots_free(&pool->commands);
    slots_free(&pool->fragments);
    free(pool);
}

static inline void clear(void *slot, size_t from_bytes, size_t end_bytes)
{
    memset((uint8_t *)slot + from_bytes, 0, end_bytes - from_bytes);
}

struct command *command_acquire(struct request_pool *pool, struct transmission *transmission,
                                unsigned held)
{
    struct command *command = slots_take(&pool->commands, held, COMMANDS_GUARANTEED);

    if (command == NULL)
        return NULL;
    clear(command, offsetof(struct command, op), offsetof(struct command, message));
    command->transmission = transmission;
    return command;
}

void command_release(struct request_pool *pool, struct command *command)
{
    slots_give(&pool->commands, command);
}

struct fragment *fragment_acquire(struct request_pool *pool, struct command *command)
{
    struct fragment *fragment = slots_take(&pool->fragments, command->fragments_held, 1);

    if (fragment == NULL)
        return NULL;
    clear(fragment, offsetof(struct fragment, start_bytes),
          offsetof(struct fragment, request.view));
    fragment->command = command;
    return fragment;
}

void fragment_release(struct request_pool *pool, struct fragment *fragment)
{
    slots_give(&pool->fragments, fragment);
}
