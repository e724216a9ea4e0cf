#include "tests/sim/rates.h"

#include "server/base/rate-limit.h"
#include "server/nbd/nbd-wire.h"
#include "tests/sim/options.h"
#include "tests/sim/schedule.h"
#include "tests/sim/trace.h"

#define IDENTITIES 4u
#define LIMITED_LEAST 50u /* commands that were held back, to be worth a mark */

/* Done since they hold, each with what one request may be ahead. */
struct done {
    uint64_t units, largest;
};

static struct rates holding;
static bool known;
static uint64_t since_ns;
static struct done operations, bytes, of_client[IDENTITIES], of_group;

struct rates rates_of(unsigned factor)
{
    return (struct rates){ .iops = options.limit_iops * factor,
                           .bytes = options.limit_kib * 1024 * factor,
                           .client_iops = options.client_iops * factor };
}

void rates_hold(const struct rates *rates)
{
    known = rates != NULL;
    holding = known ? *rates : (struct rates){ 0 };
    since_ns = sim_now_ns;
    operations = bytes = of_group = (struct done){ 0 };
    for (unsigned i = 0; i < IDENTITIES; i++)
        of_client[i] = (struct done){ 0 };
}

/* As the manual says: what the limit gives in that time, the burst, and one request. */
static void check(struct done *done, uint64_t units, uint64_t rate, bool burst, const char *what)
{
    uint64_t ms = (sim_now_ns - since_ns) / NS_PER_MS + 1 + RATE_LIMIT_SLACK_MS;
    uint64_t most = rate * ms / 1000 + 1;

    done->units += units;
    if (units > done->largest)
        done->largest = units;
    if (rate == 0)
        return;
    if (burst) /* at twice the rate, for so long, after a rest */
        most += rate * options.burst_seconds;
    if (done->units > most + done->largest)
        sim_fail("clients have done %llu %s in %llu ms, and may do %llu a second",
                 (unsigned long long)done->units, what, (unsigned long long)ms,
                 (unsigned long long)rate);
    if (done->units > LIMITED_LEAST && done->units > most / 2)
        mark(MARK_limited);
}

static uint64_t bytes_of(const struct nbd_request *request)
{
    switch (request->command) {
    case NBD_CMD_READ:
    case NBD_CMD_WRITE:
    case NBD_CMD_CACHE:
    case NBD_CMD_WRITE_ZEROES:
        return request->length_bytes;
    default:
        return 0;
    }
}

void rates_answered(unsigned identity, const struct nbd_request *request, uint64_t sent_ns)
{
    uint64_t size = options.io_size_kib * 1024, count = 1, length = bytes_of(request);

    if (!known || sent_ns < since_ns || request->command == NBD_CMD_FLUSH)
        return;
    if (size > 0 && length > size)
        count = (length + size - 1) / size;
    check(&operations, count, holding.iops, true, "operations");
    check(&bytes, length, holding.bytes, true, "bytes");
    check(&of_client[identity % IDENTITIES], count, holding.client_iops, false,
          "operations of one of them");
    check(&of_group, 1, options.group_iops, false, "operations of their group");
}
