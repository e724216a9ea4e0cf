#include "server/copy/copy-ranges.h"

#include <stdlib.h>

#include "server/copy/copy-extents.h"

/* Holes smaller than that are data: what they would save is not worth a request of its own. */
#define UNIT_BYTES 4096u

/* An end, and what is known of what comes next of it. */
struct ahead {
    struct copy_extents *extents; /* NULL: nobody asks */
    uint64_t size_bytes;
    uint64_t end_bytes; /* where what is known ends */
    bool zero;
};

struct copy_ranges {
    struct ahead ahead[COPY_ENDS];
    uint64_t at_bytes, end_bytes;
    uint64_t unit_bytes; /* 1 for a comparison */
    bool compare;
    bool zeros_written;
    bool has_next;
    struct copy_range next; /* of at most any length */
};

static int look_ahead(struct ahead *ahead, struct stage *end, uint64_t start_bytes,
                      struct error *err)
{
    ahead->size_bytes = limits_size_bytes(&end->limits);
    ahead->end_bytes = start_bytes;
    return start_bytes < ahead->size_bytes
               ? copy_extents_create(&ahead->extents, end, start_bytes, err)
               : 0;
}

static uint64_t unit_of(const struct copy_terms *terms)
{
    uint64_t unit = UNIT_BYTES;

    for (unsigned end = 0; end < COPY_ENDS; end++)
        if (terms->ends[end]->limits.phase_bytes > unit)
            unit = terms->ends[end]->limits.phase_bytes;
    return unit;
}

int copy_ranges_create(struct copy_ranges **out, const struct copy_terms *terms,
                       uint64_t start_bytes, uint64_t end_bytes, struct error *err)
{
    struct copy_ranges *ranges = calloc(1, sizeof *ranges);
    int result = 0;

    if (ranges == NULL)
        return error_no_memory(err, "for a copy");
    ranges->at_bytes = start_bytes;
    ranges->end_bytes = end_bytes;
    ranges->compare = terms->compare;
    ranges->zeros_written = !terms->compare && terms->zeros == COPY_ZEROS_WRITTEN;
    ranges->unit_bytes = terms->compare ? 1 : unit_of(terms);
    for (unsigned end = 0; end < COPY_ENDS && result == 0; end++)
        if (terms->compare || end == COPY_SOURCE)
            result = look_ahead(&ranges->ahead[end], terms->ends[end], start_bytes, err);
    if (result < 0) {
        copy_ranges_destroy(ranges);
        return result;
    }
    *out = ranges;
    return 0;
}

void copy_ranges_destroy(struct copy_ranges *ranges)
{
    if (ranges == NULL)
        return;
    for (unsigned end = 0; end < COPY_ENDS; end++)
        copy_extents_destroy(ranges->ahead[end].extents);
    free(ranges);
}

/* Where what is known from `at_bytes` on ends. */
static uint64_t known_end(struct ahead *ahead, uint64_t at_bytes)
{
    while (ahead->extents != NULL && ahead->end_bytes <= at_bytes) {
        struct extent extent = copy_extents_next(ahead->extents);

        if (extent.length_bytes == 0)
            break;
        ahead->end_bytes += extent.length_bytes;
        ahead->zero = (extent.flags & EXTENT_ZERO) != 0;
    }
    if (ahead->end_bytes > at_bytes)
        return ahead->end_bytes;
    ahead->zero = true; /* behind its end */
    return UINT64_MAX;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* From at_bytes on, as far as both ends are known to have the same there. */
static bool next_known(struct copy_ranges *ranges, struct copy_range *out)
{
    struct ahead *source = &ranges->ahead[COPY_SOURCE], *target = &ranges->ahead[COPY_TARGET];
    uint64_t end_bytes = ranges->end_bytes;

    if (ranges->at_bytes >= end_bytes)
        return false;
    end_bytes = least(end_bytes, known_end(source, ranges->at_bytes));
    if (ranges->compare)
        end_bytes = least(end_bytes, known_end(target, ranges->at_bytes));
    *out = (struct copy_range){
        .offset_bytes = ranges->at_bytes,
        .length_bytes = end_bytes - ranges->at_bytes,
        .zero = { source->zero, ranges->compare ? target->zero : source->zero },
    };
    ranges->at_bytes = end_bytes;
    return true;
}

/* Of the zeros only whole units are left as such; the rest belongs to the data around them. */
static bool next_in_units(struct copy_ranges *ranges, struct copy_range *out)
{
    uint64_t unit = ranges->unit_bytes;

    if (!next_known(ranges, out))
        return false;
    uint64_t end_bytes = out->offset_bytes + out->length_bytes;
    bool last = end_bytes == ranges->end_bytes;
    uint64_t whole_end_bytes = last ? end_bytes : end_bytes / unit * unit;

    /* It begins at a whole unit, for so did what came before it end. */
    if (whole_end_bytes > out->offset_bytes) {
        out->length_bytes = whole_end_bytes - out->offset_bytes;
        ranges->at_bytes = whole_end_bytes;
        return true;
    }
    /* Less than a unit: with what follows it is one of data. */
    out->length_bytes = least(unit, ranges->end_bytes - out->offset_bytes);
    out->zero[COPY_SOURCE] = out->zero[COPY_TARGET] = false;
    ranges->at_bytes = out->offset_bytes + out->length_bytes;
    return true;
}

bool copy_ranges_moves(const struct copy_ranges *ranges, const struct copy_range *range)
{
    return !range->zero[COPY_SOURCE] || !range->zero[COPY_TARGET] || ranges->zeros_written;
}

bool copy_ranges_next(struct copy_ranges *ranges, uint64_t max_bytes, struct copy_range *out)
{
    if (!ranges->has_next)
        ranges->has_next = next_in_units(ranges, &ranges->next);
    if (!ranges->has_next)
        return false;
    *out = ranges->next;
    if (copy_ranges_moves(ranges, out) && out->length_bytes > max_bytes)
        out->length_bytes = max_bytes;
    ranges->next.offset_bytes += out->length_bytes;
    ranges->next.length_bytes -= out->length_bytes;
    ranges->has_next = ranges->next.length_bytes > 0;
    return true;
}
