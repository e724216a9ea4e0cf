#include "plugins/remote/remote-coverage.h"

#include <string.h>

/* Makes room for a piece, or closes the gap that one leaves. */
static void shift(struct remote_coverage *coverage, uint32_t at, int by)
{
    uint32_t from = by > 0 ? at : at + 1;

    memmove(&coverage->pieces[by > 0 ? at + 1 : at], &coverage->pieces[from],
            (coverage->count - from) * sizeof coverage->pieces[0]);
    coverage->count = by > 0 ? coverage->count + 1 : coverage->count - 1;
}

const char *remote_coverage_add(struct remote_coverage *coverage, uint32_t from_bytes,
                                uint32_t length_bytes)
{
    uint32_t to_bytes = from_bytes + length_bytes;
    uint32_t at = 0;

    if (length_bytes == 0)
        return "a chunk of its reply to a READ is empty";
    while (at < coverage->count && coverage->pieces[at].to_bytes < from_bytes)
        at++;
    /* The first piece that touches it or lies behind it; another one may touch its end. */
    bool joins = at < coverage->count && coverage->pieces[at].to_bytes == from_bytes;
    uint32_t next = joins ? at + 1 : at;
    bool has_next = next < coverage->count;
    if (has_next && coverage->pieces[next].from_bytes < to_bytes)
        return "chunks of its reply to a READ overlap";
    bool joins_next = has_next && coverage->pieces[next].from_bytes == to_bytes;

    if (joins && joins_next) {
        coverage->pieces[at].to_bytes = coverage->pieces[next].to_bytes;
        shift(coverage, next, -1);
    } else if (joins) {
        coverage->pieces[at].to_bytes = to_bytes;
    } else if (joins_next) {
        coverage->pieces[next].from_bytes = from_bytes;
    } else if (coverage->count == REMOTE_PIECES_MAX) {
        return "its reply to a READ is in too many pieces";
    } else {
        shift(coverage, at, 1);
        coverage->pieces[at].from_bytes = from_bytes;
        coverage->pieces[at].to_bytes = to_bytes;
    }
    return NULL;
}

bool remote_coverage_is_whole(const struct remote_coverage *coverage, uint32_t length_bytes)
{
    return coverage->count == 1 && coverage->pieces[0].from_bytes == 0 &&
           coverage->pieces[0].to_bytes == length_bytes;
}
