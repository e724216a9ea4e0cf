/* However many connections take all that they get, and give nothing back: each gets its part of the
 * slots for commands, and each command a fragment. */
#include "server/board/board.h"
#include "server/connection/nbd-command.h"

#include "tests/support/check.h"

#define LIMIT 1024u
#define CONNECTIONS 3000u
#define COMMANDS_EACH 200u

static struct board *board;
static struct request_pool *pool;
static struct command *commands[CONNECTIONS][COMMANDS_EACH];
static unsigned held[CONNECTIONS];

static void open_pool(void)
{
    struct error err;

    EXPECT(board_create(&board, 1, &err) == 0);
    EXPECT(request_pool_create(&pool, LIMIT, board, &err) == 0);
    for (unsigned i = 0; i < CONNECTIONS; i++)
        held[i] = 0;
}

static void take_all(unsigned connection)
{
    while (held[connection] < COMMANDS_EACH) {
        struct command *command = command_acquire(pool, NULL, held[connection]);

        if (command == NULL)
            return;
        commands[connection][held[connection]++] = command;
    }
}

static void give_all(void)
{
    for (unsigned i = 0; i < CONNECTIONS; i++)
        while (held[i] > 0)
            command_release(pool, commands[i][--held[i]]);
    request_pool_destroy(pool);
    board_destroy(board);
}

static void one_alone(void)
{
    open_pool();
    take_all(0);
    EXPECT(held[0] == COMMANDS_EACH);
    give_all();
}

static void each_gets_its_part(void)
{
    unsigned total = 0;

    open_pool();
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        take_all(i);
        EXPECT(held[i] >= COMMANDS_GUARANTEED);
        total += held[i];
    }
    EXPECT(total <= LIMIT + CONNECTIONS * COMMANDS_GUARANTEED);
    /* Once one lets go of what it has beyond its part, others may have that. */
    while (held[0] > 0)
        command_release(pool, commands[0][--held[0]]);
    take_all(0);
    EXPECT(held[0] >= COMMANDS_GUARANTEED);
    give_all();
}

/* Late comers find half as much as the ones before them, and not nothing. */
static void late_comers(void)
{
    open_pool();
    for (unsigned i = 0; i < 4; i++)
        take_all(i);
    take_all(4);
    EXPECT(held[4] >= 50);
    give_all();
}

/* The fragments of a few commands can't keep others from their first one. */
static void each_command_gets_a_fragment(void)
{
    static struct fragment *fragments[LIMIT * 8];
    struct command *greedy, *late;
    unsigned taken = 0;

    open_pool();
    greedy = command_acquire(pool, NULL, 0);
    while (taken < LIMIT * 8 && (fragments[taken] = fragment_acquire(pool, greedy)) != NULL) {
        taken++;
        greedy->fragments_held++;
    }
    EXPECT(taken > 0 && taken < LIMIT * 2);
    for (unsigned i = 0; i < LIMIT * 4; i++) { /* more than there are */
        late = command_acquire(pool, NULL, 0);
        EXPECT(late != NULL && (fragments[taken] = fragment_acquire(pool, late)) != NULL);
        taken++;
        command_release(pool, late);
    }
    while (taken > 0)
        fragment_release(pool, fragments[--taken]);
    command_release(pool, greedy);
    give_all();
}

static const struct check checks[] = {
    { "one connection alone gets all that it may have", one_alone },
    { "each connection gets its part, however many there are", each_gets_its_part },
    { "who comes late finds something left", late_comers },
    { "each command gets a fragment", each_command_gets_a_fragment },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
