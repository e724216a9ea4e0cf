/* Chunks of a READ, in all orders. */
#include "plugins/remote/remote-coverage.h"

#include "tests/support/check.h"

static void refusals(void)
{
    struct remote_coverage coverage = { .count = 0 };

    EXPECT(!remote_coverage_is_whole(&coverage, 8));
    EXPECT(remote_coverage_add(&coverage, 0, 0) != NULL);
    EXPECT(remote_coverage_add(&coverage, 2, 4) == NULL);
    for (uint32_t from = 0; from < 8; from++)
        for (uint32_t length = 1; from + length <= 8; length++)
            if (from < 6 && from + length > 2)
                EXPECT(remote_coverage_add(&coverage, from, length) != NULL);
    EXPECT(!remote_coverage_is_whole(&coverage, 6));
    EXPECT(remote_coverage_add(&coverage, 0, 2) == NULL);
    EXPECT(remote_coverage_is_whole(&coverage, 6));

    coverage = (struct remote_coverage){ .count = 0 };
    for (uint32_t i = 0; i < REMOTE_PIECES_MAX; i++)
        EXPECT(remote_coverage_add(&coverage, 2 * i, 1) == NULL);
    EXPECT(remote_coverage_add(&coverage, 2 * REMOTE_PIECES_MAX, 1) != NULL);
    EXPECT(remote_coverage_add(&coverage, 1, 1) == NULL); /* which joins two */
    EXPECT(remote_coverage_add(&coverage, 2 * REMOTE_PIECES_MAX, 1) == NULL);
}

/* Against a map of bytes. */
static void random_chunks(void)
{
    enum { BYTES = 24 };

    for (unsigned round = 0; round < 20000; round++) {
        struct remote_coverage coverage = { .count = 0 };
        bool there[BYTES] = { false };

        for (unsigned step = 0; step < 40; step++) {
            uint32_t from = (uint32_t)rand() % BYTES, all = BYTES;
            uint32_t length = 1 + (uint32_t)rand() % (BYTES - from > 4 ? 4 : BYTES - from);
            bool overlaps = false;

            for (uint32_t i = from; i < from + length; i++)
                overlaps |= there[i];
            EXPECT((remote_coverage_add(&coverage, from, length) != NULL) == overlaps);
            if (!overlaps)
                memset(&there[from], true, length);
            for (uint32_t i = 0; i < BYTES; i++)
                all -= there[i];
            EXPECT(remote_coverage_is_whole(&coverage, BYTES) == (all == 0));
        }
    }
}

static const struct check checks[] = {
    { "chunks that are empty, overlap or are too many pieces are refused", refusals },
    { "a READ is whole when each byte came once, and no sooner", random_chunks },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
