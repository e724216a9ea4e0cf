/* What a request costs in this program alone: a fixed mix of requests over the fake loop and the
 * fake backend, for callgrind to count.
 *
 *     bench-request MIX COUNT
 *
 * The instructions of two runs, divided by the difference of their counts, are those of one
 * request; no noise of the machine reaches them (tests/rules/test-instructions-per-request.sh). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/fake-server.h"

#define DEPTH 32u
#define BATCH_NS 64000u

struct mix {
    const char *name;
    uint16_t command;
    uint32_t length_bytes;
    bool structured;
    uint32_t block_bytes; /* of the storage; more than 1: under the align layer */
    bool limited;         /* by limits that are never reached */
};

static const struct mix mixes[] = {
    { "read-512-simple", NBD_CMD_READ, 512, false, 1, false },
    { "read-512-structured", NBD_CMD_READ, 512, true, 1, false },
    { "write-512-simple", NBD_CMD_WRITE, 512, false, 1, false },
    { "write-512-structured", NBD_CMD_WRITE, 512, true, 1, false },
    { "flush-simple", NBD_CMD_FLUSH, 0, false, 1, false },
    { "read-1M-simple", NBD_CMD_READ, 1u << 20, false, 1, false },
    { "read-1M-structured", NBD_CMD_READ, 1u << 20, true, 1, false },
    { "read-4K-blocks", NBD_CMD_READ, 4096, false, 4096, false },
    { "write-4K-blocks", NBD_CMD_WRITE, 4096, false, 4096, false },
    { "write-512-blocks", NBD_CMD_WRITE, 512, false, 4096, false },
    { "read-512-limited", NBD_CMD_READ, 512, false, 1, true },
};

static void take_all(int fd)
{
    static uint8_t bytes[1u << 16];

    do {
        fake_loop_run(server.loop);
    } while (fake_socket_take(server.loop, fd, bytes, sizeof bytes) > 0);
}

static void set_limits(void)
{
    limit_set_use(&server.ex.rates,
                  &(struct limit_terms){
                      .rate = { [LIMIT_IOPS] = 100000000, [LIMIT_BANDWIDTH] = UINT64_C(1) << 40 } },
                  loop_batch_ns);
    atomic_store(&server.ex.limited, true);
}

static void run(const struct mix *mix, unsigned long count)
{
    int fd = fake_client_attach(mix->structured);

    for (unsigned long done = 0; done < count; done += DEPTH) {
        for (unsigned i = 0; i < DEPTH; i++) {
            uint64_t offset_bytes = mix->length_bytes > 0 ? i * 4096 : 0;

            if (mix->command == NBD_CMD_WRITE)
                fake_client_write(fd, i, offset_bytes, mix->length_bytes, 1);
            else
                fake_client_send(fd, mix->command, i, offset_bytes, mix->length_bytes);
        }
        take_all(fd);
        loop_batch_ns += BATCH_NS;
    }
    fake_client_leave(fd);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 3 && i < sizeof mixes / sizeof mixes[0]; i++) {
        if (strcmp(mixes[i].name, argv[1]) != 0)
            continue;
        fake_server_open_blocks(mixes[i].block_bytes);
        if (mixes[i].limited)
            set_limits();
        run(&mixes[i], strtoul(argv[2], NULL, 10));
        fake_server_close();
        return EXIT_SUCCESS;
    }
    fprintf(stderr, "usage: bench-request MIX COUNT, with a MIX of:");
    for (size_t i = 0; i < sizeof mixes / sizeof mixes[0]; i++)
        fprintf(stderr, " %s", mixes[i].name);
    fprintf(stderr, "\n");
    return 2;
}
