#include "server/metrics/metrics-groups.h"

#include "server/export/limit-groups.h"

#define PER_SECOND "nbdcrypt_limit_group_per_second"

/* "limit-read-iops" -> "read-iops" */
static void put_limits(struct metrics_text *text, const struct limit_set *group)
{
    for (unsigned kind = 0; kind < LIMIT_KINDS; kind++) {
        uint64_t rate = group->terms.rate[kind];

        if (rate == 0)
            continue;
        metrics_put(text, PER_SECOND "{group=\"");
        metrics_put_label(text, limit_group_name(group));
        metrics_put(text, "\",limit=\"%s\"}",
                    limit_kind_name((enum limit_kind)kind) + sizeof "limit-" - 1);
        metrics_put_count(text, rate);
    }
}

void metrics_put_groups(struct metrics_text *text)
{
    metrics_family(text, METRICS_GAUGE, PER_SECOND,
                   "Limits that the exports of a group have together: requests, or bytes.");
    for (const struct limit_set *group = limit_groups_next(NULL); group != NULL;
         group = limit_groups_next(group))
        if (limit_group_is_configured(group))
            put_limits(text, group);
}
