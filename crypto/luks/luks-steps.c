/* The writes that replace a header: see luks-steps.h. */
#include "crypto/luks/luks-steps.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "crypto/luks/cryptsetup-library.h"

struct run {
    const struct luks_steps *steps;
    const struct luks_store *store;
    int old_fd; /* what was there, wherever a step writes */
    struct luks_end *end;
    struct luks_chunks chunks;
};

void luks_steps_add(struct luks_steps *steps, const struct luks_area *range, int image_fd,
                    enum luks_place place)
{
    assert(steps->count < LUKS_STEPS_MAX);
    steps->items[steps->count++] =
        (struct luks_step){ .range = *range, .image_fd = image_fd, .place = place };
}

void luks_steps_add_copies(struct luks_steps *steps, int image_fd, uint64_t copy_bytes,
                           bool primary_first)
{
    const struct luks_area primary = { 0, copy_bytes }, secondary = { copy_bytes, copy_bytes };

    luks_steps_add(steps, primary_first ? &primary : &secondary, image_fd, LUKS_PLACE_USED);
    luks_steps_add(steps, primary_first ? &secondary : &primary, image_fd, LUKS_PLACE_USED);
}

static int flush(struct run *run, struct error *err)
{
    int result = run->store->flush(run->store->context, err);

    if (result < 0)
        run->end->flushed = false;
    return result;
}

/* What was at the place of a step before it: what an earlier one wrote there, or what is there of
 * old. */
static int image_before(const struct run *run, unsigned index)
{
    const struct luks_step *items = run->steps->items;
    const struct luks_area *range = &items[index].range;

    for (unsigned i = index; i > 0; i--)
        if (items[i - 1].range.offset_bytes == range->offset_bytes &&
            items[i - 1].range.length_bytes == range->length_bytes)
            return items[i - 1].image_fd;
    return run->old_fd;
}

static int read_old(struct run *run, struct error *err)
{
    uint64_t end_bytes = 0;
    int result;

    for (unsigned i = 0; i < run->steps->count; i++) {
        const struct luks_area *range = &run->steps->items[i].range;

        if (range->offset_bytes + range->length_bytes > end_bytes)
            end_bytes = range->offset_bytes + range->length_bytes;
    }
    result = cryptsetup_image_create(&run->old_fd, end_bytes, end_bytes, err);
    for (unsigned i = 0; i < run->steps->count && result == 0; i++) {
        const struct luks_area *range = &run->steps->items[i].range;

        result = cryptsetup_image_copy(run->old_fd, range->offset_bytes, range->length_bytes,
                                       run->store->read, run->store->context, err);
    }
    return result;
}

static int store(struct run *run, const struct luks_area *range, int image_fd, struct error *err)
{
    int result = luks_store_write(run->store, image_fd, range, &run->chunks, err);

    if (result == 0)
        result = flush(run, err);
    if (result == 0)
        result = luks_store_verify(run->store, image_fd, range, &run->chunks, err);
    return result;
}

/* The steps that are stored, and the one behind them, perhaps in part. */
static void undo(struct run *run)
{
    struct luks_end *end = run->end;

    for (unsigned i = end->stored + 1; i > 0; i--) {
        const struct luks_step *step = &run->steps->items[i - 1];

        end->stored = i - 1;
        if (store(run, &step->range, image_before(run, i - 1), NULL) < 0 &&
            step->place != LUKS_PLACE_SPARE) {
            end->outcome = LUKS_OUTCOME_UNKNOWN;
            return; /* the steps before it are what the keys of now need */
        }
    }
    end->outcome = LUKS_OUTCOME_BEFORE;
}

/* As it was before the first step, up to and with the step `last`. */
static enum luks_outcome look_again(struct run *run, unsigned last)
{
    for (unsigned i = 0; i <= last; i++) {
        const struct luks_area *range = &run->steps->items[i].range;

        if (luks_store_verify(run->store, run->old_fd, range, &run->chunks, NULL) < 0 &&
            store(run, range, run->old_fd, NULL) < 0)
            return LUKS_OUTCOME_UNKNOWN;
    }
    return LUKS_OUTCOME_BEFORE;
}

/* Writes what is there, one step after the other: a bad block or a lost bit must not reach both
 * copies of a header.  What is only wiped is left alone: a key is there. */
static int make_room(struct run *run, struct error *err)
{
    run->end->outcome = LUKS_OUTCOME_BEFORE;
    for (unsigned i = 0; i < run->steps->count; i++) {
        const struct luks_step *step = &run->steps->items[i];
        int result = 0;

        if (step->place != LUKS_PLACE_WIPED && image_before(run, i) == run->old_fd)
            result = store(run, &step->range, run->old_fd, err);
        if (result < 0) {
            run->end->outcome = look_again(run, i);
            error_prefix(err, "there must be room for all that will be written: ");
            return result;
        }
    }
    return 0;
}

static int run_steps(struct run *run, struct error *err)
{
    const struct luks_steps *steps = run->steps;
    int result = 0;

    for (unsigned i = 0; i < steps->turn; i++) {
        result = store(run, &steps->items[i].range, steps->items[i].image_fd, err);
        if (result < 0) {
            undo(run);
            return result;
        }
        run->end->stored++;
    }
    run->end->outcome = LUKS_OUTCOME_AFTER;
    for (unsigned i = steps->turn; i < steps->count; i++) {
        int now =
            store(run, &steps->items[i].range, steps->items[i].image_fd, result == 0 ? err : NULL);

        if (result == 0)
            result = now;
    }
    return result;
}

int luks_steps_run(const struct luks_steps *steps, const struct luks_store *to,
                   struct luks_end *end, struct error *err)
{
    struct run *run = calloc(1, sizeof *run);
    int result;

    *end = (struct luks_end){ .outcome = LUKS_OUTCOME_UNTOUCHED, .flushed = true };
    if (run == NULL)
        return error_no_memory(err, "to write the header");
    *run = (struct run){ .steps = steps, .store = to, .old_fd = -1, .end = end };
    result = read_old(run, err);
    if (result == 0)
        result = make_room(run, err);
    if (result == 0)
        result = run_steps(run, err);
    if (run->old_fd >= 0)
        (void)close(run->old_fd);
    free(run);
    return result;
}
