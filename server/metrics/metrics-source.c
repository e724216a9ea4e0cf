#include "server/metrics/metrics-source.h"

#define EXPORTS_A_LOCK 16u

/* Some of those behind `id`; the id of the last one, or 0: there were none. */
static uint64_t some_exports(const struct metrics_source *source, uint64_t id,
                             metrics_export_fn *fn, void *context, struct board_figures *figures)
{
    const struct export_set *set = source->lock(source->context);
    size_t place = export_set_behind(set, id), end = place + EXPORTS_A_LOCK;
    uint64_t last = 0;

    for (; place < set->count && place < end; place++) {
        const struct export *export = set->exports[place];
        bool summed = board_sum_export(source->board, export->place, figures);

        fn(context, export, summed ? figures : NULL);
        last = export->id;
    }
    source->unlock(source->context);
    return last;
}

bool metrics_each_export(const struct metrics_source *source, metrics_export_fn *fn, void *context)
{
    uint64_t moves = board_moves(source->board), id = 0;
    struct board_figures figures;

    do
        id = some_exports(source, id, fn, context, &figures);
    while (id != 0);
    return board_moves(source->board) == moves;
}
