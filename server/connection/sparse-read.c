#include "server/connection/sparse-read.h"

#define BELIEVED_NS UINT64_C(1000000000)
/* A power of two.  Storage may take its time for more: of 262,144 objects of an RBD image. */
#define WINDOW_BYTES_MAX (UINT64_C(1) << 40)
#define SHIFT_MAX 6u /* one read of 64 is looked at, if only holes that are too small are found */
#define BLOCK_BYTES 4096u /* data between holes is read in whole ones */

static uint64_t end_of(const struct byte_range *range)
{
    return range->offset_bytes + range->size_bytes;
}

static bool is_inside(const struct nbd_request *request, const struct byte_range *range)
{
    return request->offset_bytes >= range->offset_bytes &&
           request->offset_bytes + request->length_bytes <= end_of(range);
}

static bool is_known_to_be_data(const struct sparse_knowledge *knowledge,
                                const struct nbd_request *request, uint64_t now_ns)
{
    return now_ns < knowledge->until_ns && is_inside(request, &knowledge->data);
}

/* With DF the reply is one piece, whatever is in it. */
bool sparse_read_wants_look(struct sparse_knowledge *knowledge, const struct command *command,
                            uint64_t now_ns)
{
    const struct nbd_request *request = &command->request;
    unsigned shift = knowledge->useless < SHIFT_MAX ? knowledge->useless : SHIFT_MAX;

    if (command->error != 0 || request->flags & NBD_CMD_FLAG_DF ||
        is_known_to_be_data(knowledge, request, now_ns))
        return false;
    if (++knowledge->passed_over < 1u << shift)
        return false;
    knowledge->passed_over = 0;
    return true;
}

struct byte_range sparse_read_window(const struct sparse_knowledge *knowledge,
                                     const struct command *command, const struct limits *limits)
{
    const struct nbd_request *request = &command->request;
    uint64_t window_bytes = knowledge->window_bytes, size_bytes = limits_size_bytes(limits);
    uint64_t start = request->offset_bytes, end = start + request->length_bytes;

    if (window_bytes > request->length_bytes) {
        start = start / window_bytes * window_bytes;
        if (end < start + window_bytes)
            end = start + window_bytes;
    }
    if (end > size_bytes)
        end = size_bytes;
    return (struct byte_range){ .offset_bytes = start, .size_bytes = end - start };
}

/* Of the command: between two offsets. */
static void add_hole(struct command *command, uint64_t start, uint64_t end)
{
    struct command_holes *holes = &command->holes;
    uint64_t first = command->request.offset_bytes, last = first + command->request.length_bytes;

    if (start <= first)
        start = first;
    else
        start = (start + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    if (end >= last)
        end = last;
    else
        end = end / BLOCK_BYTES * BLOCK_BYTES;
    if (end < start || end - start < SPARSE_READ_HOLE_BYTES_MIN ||
        holes->count == COMMAND_HOLES_MAX)
        return;
    holes->at[holes->count].start_bytes = (uint32_t)(start - first);
    holes->at[holes->count++].end_bytes = (uint32_t)(end - first);
}

/* The data at the end of what was read: it goes on there. */
static void note_data(struct sparse_knowledge *knowledge, const struct command *command,
                      uint64_t start, uint64_t end, uint64_t now_ns)
{
    uint64_t last = command->request.offset_bytes + command->request.length_bytes - 1;

    if (start > last || end <= last)
        return;
    knowledge->data = (struct byte_range){ .offset_bytes = start, .size_bytes = end - start };
    knowledge->until_ns = now_ns + BELIEVED_NS;
}

/* How far, and how soon, the next look is.  `elsewhere`: as much as a look sees is known, but of
 * another place. */
static void learn(struct sparse_knowledge *knowledge, const struct command *command,
                  const struct extent_list *list, bool elsewhere)
{
    uint64_t least_bytes = 2 * SPARSE_READ_BYTES_MIN;

    if (command->holes.count > 0) {
        knowledge->window_bytes = 0;
        knowledge->useless = 0;
    } else if (list->count > 1) {
        knowledge->window_bytes = 0;
        knowledge->useless++;
    } else {
        while (least_bytes < 2 * command->request.length_bytes)
            least_bytes *= 2;
        if (knowledge->window_bytes == WINDOW_BYTES_MAX)
            knowledge->useless += elsewhere;
        else
            knowledge->window_bytes *= 2;
        if (knowledge->window_bytes < least_bytes)
            knowledge->window_bytes = least_bytes;
    }
}

void sparse_read_note_nothing(struct command *command)
{
    command->holes.count = 0;
}

void sparse_read_note(struct sparse_knowledge *knowledge, struct command *command,
                      const struct extent_list *list, uint64_t start_bytes, uint64_t now_ns)
{
    bool elsewhere = now_ns < knowledge->until_ns && knowledge->data.size_bytes >= WINDOW_BYTES_MAX;

    command->holes.count = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct extent *extent = &list->extents[i];
        uint64_t end_bytes = start_bytes + extent->length_bytes;

        if (extent->flags & EXTENT_ZERO)
            add_hole(command, start_bytes, end_bytes);
        else
            note_data(knowledge, command, start_bytes, end_bytes, now_ns);
        start_bytes = end_bytes;
    }
    learn(knowledge, command, list, elsewhere);
}

bool sparse_read_next(struct piece *out, const struct limits *limits, const struct command *command)
{
    const struct command_holes *holes = &command->holes;
    uint64_t at_bytes = command->issued_bytes, end_bytes = command->request.length_bytes;
    uint64_t offset_bytes = command->request.offset_bytes + at_bytes;
    uint32_t i = 0;

    while (i < holes->count && holes->at[i].end_bytes <= at_bytes)
        i++;
    if (i < holes->count && holes->at[i].start_bytes <= at_bytes) {
        *out = (struct piece){ .offset_bytes = offset_bytes,
                               .length_bytes = holes->at[i].end_bytes - at_bytes };
        return true;
    }
    if (i < holes->count)
        end_bytes = holes->at[i].start_bytes;
    *out = piece_of_data(offset_bytes, end_bytes - at_bytes, limits->phase_bytes, false);
    return false;
}
