#include "server/block/flusher.h"

#include "server/block/layer.h"

void flusher_begin(struct flusher *flusher, struct layer *top)
{
    struct layer *backend = top;

    while (backend->below != NULL)
        backend = backend->below;
    if (backend->ops->account == NULL)
        return;
    flusher->backend = backend;
    backend->ops->account->begin(backend, flusher);
}

void flusher_write_done(struct flusher *flusher, uint32_t epoch)
{
    if (flusher->answers++ == 0 || epoch < flusher->oldest_epoch)
        flusher->oldest_epoch = epoch;
}

void flusher_answers_leave(struct flusher *flusher)
{
    if (flusher->answers == 0)
        return;
    flusher->backend->ops->account->answered(flusher->backend, flusher->answers,
                                             flusher->oldest_epoch);
    flusher->answers = 0;
}

void flusher_end(struct flusher *flusher, bool in_good_order)
{
    if (flusher->backend != NULL)
        flusher->backend->ops->account->end(flusher->backend, flusher, in_good_order);
    flusher->backend = NULL;
}
