/* What one process claims says nothing to others, nor what it had claimed when it was killed. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/schedule.h"
#include "tests/sim/trace.h"
#include "tests/sim/wrap.h"

static char *of_host(const char *identity)
{
    char *text;

    if (asprintf(&text, "%u:%s", fiber_host(), identity) < 0)
        sim_fail("no memory");
    return text;
}

int __wrap_image_claim_take(struct image_claim **out, const struct image_claim_wish *wish,
                            struct error *err)
{
    struct image_claim_wish mine = *wish;
    char *identity = of_host(wish->identity);

    mine.identity = identity;
    int result = __real_image_claim_take(out, &mine, err);
    if (result < 0)
        mark(MARK_image_claimed);
    free(identity);
    return result;
}

bool __wrap_image_claim_is_of(const struct image_claim *claim, const char *identity)
{
    char *text = of_host(identity);
    bool is = __real_image_claim_is_of(claim, text);

    free(text);
    return is;
}
