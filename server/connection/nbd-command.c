#include "server/connection/nbd-command.h"

#include <errno.h>
#include <stdlib.h>

#include "server/base/log.h"
#include "server/board/board-owner.h"
#include "server/connection/conversation.h"
#include "server/export/export.h"

#define SLAB_SLOTS BOARD_COMMANDS
#define ERRORS_LOGGED_MAX 10u /* of a connection */
/* Each connection may have this many more fragments than commands on average. */
#define FRAGMENTS_PER_COMMAND 2u

union slot_link {
    struct {
        struct slab *next;
        struct board_command_row *rows; /* of its slots; NULL: they have none */
    };
    max_align_t align;
};

struct slab {
    union slot_link link;
    unsigned char slots[];
};

static void slots_init(struct slots *slots, size_t slot_bytes, unsigned limit)
{
    size_t align = _Alignof(max_align_t);

    *slots = (struct slots){
        .slot_bytes = (slot_bytes + align - 1) / align * align,
        .left = (int)limit,
    };
}

static void slots_free(struct slots *slots, const struct board *board)
{
    while (slots->slabs != NULL) {
        struct slab *slab = slots->slabs;

        if (slab->link.rows != NULL)
            board_commands_end(board, slab->link.rows);
        slots->slabs = slab->link.next;
        free(slab);
    }
}

static bool slots_grow(struct slots *slots)
{
    struct slab *slab = malloc(sizeof *slab + SLAB_SLOTS * slots->slot_bytes);
    if (slab == NULL)
        return false;
    slab->link.next = slots->slabs;
    slab->link.rows = NULL;
    slots->slabs = slab;
    for (unsigned i = SLAB_SLOTS; i-- > 0;) {
        void *slot = slab->slots + i * slots->slot_bytes;

        *(void **)slot = slots->free;
        slots->free = slot;
    }
    return true;
}

int request_pool_create(struct request_pool **out, unsigned commands_max, const struct board *board,
                        struct error *err)
{
    struct request_pool *pool = calloc(1, sizeof *pool);

    if (pool == NULL)
        return error_no_memory(err, "for requests");
    pool->commands_max = commands_max;
    pool->board = board;
    slots_init(&pool->commands, sizeof(struct command), commands_max);
    slots_init(&pool->fragments, sizeof(struct fragment), commands_max * FRAGMENTS_PER_COMMAND);
    *out = pool;
    return 0;
}

void request_pool_destroy(struct request_pool *pool)
{
    if (pool == NULL)
        return;
    slots_free(&pool->commands, pool->board);
    slots_free(&pool->fragments, pool->board);
    free(pool);
}

unsigned request_pool_commands(const struct request_pool *pool)
{
    return pool->commands_max - (unsigned)pool->commands.left;
}

/* Each slot has the same row as long as it is there. */
bool request_pool_grow_commands(struct request_pool *pool)
{
    struct slots *slots = &pool->commands;

    if (!slots_grow(slots))
        return false;
    struct slab *slab = slots->slabs;
    slab->link.rows = board_commands_begin(pool->board);
    for (unsigned i = 0; i < SLAB_SLOTS; i++) {
        struct command *command = (struct command *)(void *)(slab->slots + i * slots->slot_bytes);

        command->row = &slab->link.rows[i];
    }
    return true;
}

bool request_pool_grow_fragments(struct request_pool *pool)
{
    return slots_grow(&pool->fragments);
}

void command_log_error(const struct command *command, unsigned before,
                       const struct conversation *talk)
{
    if (before < ERRORS_LOGGED_MAX)
        conversation_log(talk, LOG_WARNING, "export '%s': %s at byte %llu failed: %s",
                         talk->export->name, nbd_command_name(command->request.command),
                         (unsigned long long)command->error_offset_bytes, strerror(command->error));
    if (before + 1 == ERRORS_LOGGED_MAX)
        conversation_log(talk, LOG_WARNING, "further errors of this client are not logged");
}
