#include "server/connection/status-reply.h"

#include <assert.h>

#include "server/block/meta-contexts.h"
#include "server/connection/chunk-head.h"
#include "server/connection/negotiated.h"

static uint32_t descriptor_bytes(bool extended)
{
    return extended ? 16 : 8;
}

static void put_descriptor(uint8_t *at, const struct extent *extent, bool extended)
{
    if (extended) {
        nbd_put_u64(at, extent->length_bytes);
        nbd_put_u64(at + 8, extent->flags);
    } else {
        nbd_put_u32(at, (uint32_t)extent->length_bytes);
        nbd_put_u32(at + 4, (uint32_t)extent->flags); /* no more was asked for */
    }
}

/* That is never longer than the list, so no extent is overwritten before it has been read. */
static void put_descriptors(struct extent_list *list, uint32_t count, bool extended)
{
    uint8_t *at = (uint8_t *)list->extents;

    for (uint32_t i = 0; i < count; i++) {
        struct extent extent = list->extents[i];

        put_descriptor(at, &extent, extended);
        at += descriptor_bytes(extended);
    }
}

/* The last extent of the part before goes on in this one. */
static void join(struct command *command, const struct extent *extent, bool extended)
{
    struct command_status *status = &command->status;

    status->last.length_bytes += extent->length_bytes;
    put_descriptor(status->last_at, &status->last, extended);
}

void status_reply_add(struct command *command, struct fragment *part, bool extended)
{
    struct extent_list *list = (struct extent_list *)(void *)part->request.view.data;
    struct command_status *status = &command->status;

    /* struct extent_list promises it.  The backends keep that where storage told nothing, and so
     * do the layers that drop or round what it told. */
    assert(list->count > 0);
    if (command->done == NULL)
        *status = (struct command_status){ .last = { 0 } };
    bool joins = command->done != NULL && list->extents[0].flags == status->last.flags;
    uint32_t room = STATUS_REPLY_EXTENTS_MAX - status->extents + joins;
    uint32_t count = list->count < room ? list->count : room;
    if (command->request_flags & REQUEST_ONE)
        count = 1;
    for (uint32_t i = 0; i < count; i++)
        status->told_bytes += list->extents[i].length_bytes;
    if (joins)
        join(command, &list->extents[0], extended);
    if (count > joins) {
        status->last = list->extents[count - 1];
        status->last_at = (uint8_t *)list->extents + (count - 1) * descriptor_bytes(extended);
    }
    put_descriptors(list, count, extended);
    part->payload = (const uint8_t *)list->extents + (joins ? descriptor_bytes(extended) : 0);
    part->payload_bytes = (count - joins) * descriptor_bytes(extended);
    status->extents += count - joins;
    status->more = list->more;
    part->next = command->done;
    command->done = part;
}

bool status_reply_goes_on(const struct command *command)
{
    const struct command_status *status = &command->status;

    return status->more && !(command->request_flags & REQUEST_ONE) &&
           status->told_bytes < command->request.length_bytes &&
           status->extents < STATUS_REPLY_EXTENTS_MAX;
}

static struct fragment *in_order(struct fragment *last)
{
    struct fragment *first = NULL;

    while (last != NULL) {
        struct fragment *before = last->next;

        last->next = first;
        first = last;
        last = before;
    }
    return first;
}

struct fragment *status_reply_end(struct command *command, bool extended)
{
    struct fragment *first = in_order(command->done);
    uint32_t count = command->status.extents, bytes = count * descriptor_bytes(extended);

    unsigned context = command_context(command);
    command->done = NULL;
    command->contexts &= (uint16_t)~META_CONTEXT_BIT(context);
    chunk_head_put(first, extended,
                   extended ? NBD_REPLY_TYPE_BLOCK_STATUS_EXT : NBD_REPLY_TYPE_BLOCK_STATUS,
                   command->contexts == 0, bytes + (extended ? 8 : 4));
    nbd_put_u32(first->head + first->head_bytes, NBD_CONTEXT_BASE_ALLOCATION_ID + context);
    first->head_bytes += 4;
    if (extended) {
        nbd_put_u32(first->head + first->head_bytes, count);
        first->head_bytes += 4;
    }
    return first;
}
