#include "plugins/remote/remote-replies.h"

#include <errno.h>
#include <string.h>

#define COMMON_HEADER_BYTES NBD_SIMPLE_REPLY_BYTES
#define ERROR_BYTES 6u
#define OTHER_ERROR_BYTES_MAX 65536u /* of types that are yet to be invented */
#define STATUS_BYTES_MAX (64u << 20) /* 4 GiB in extents of 512 bytes */
#define EXTENT_BYTES 8u
#define EXTENDED_EXTENT_BYTES 16u
#define ERROR_TYPE_BIT 0x8000u

/* Each deals with a part, and returns NULL or which rule of the protocol is broken. */
typedef const char *part_fn(struct remote_replies *replies);

static const char *want(struct remote_replies *replies, enum remote_part_kind kind, uint8_t *data,
                        uint32_t length_bytes)
{
    replies->part = (struct remote_part){ kind, data, length_bytes };
    return NULL;
}

/* A part of the chunk's payload. */
static const char *want_payload(struct remote_replies *replies, enum remote_part_kind kind,
                                uint8_t *data, uint32_t length_bytes)
{
    replies->left_bytes -= length_bytes;
    return want(replies, kind, data, length_bytes);
}

static const char *want_header(struct remote_replies *replies)
{
    return want(replies, REMOTE_HEADER, replies->small,
                replies->terms.extended_headers ? NBD_EXTENDED_CHUNK_HEADER_BYTES
                                                : COMMON_HEADER_BYTES);
}

static int errno_of(uint32_t error)
{
    static const struct {
        uint32_t error;
        int number;
    } table[] = {
        { NBD_EPERM, EPERM },
        { NBD_EIO, EIO },
        { NBD_ENOMEM, ENOMEM },
        { NBD_EINVAL, EINVAL },
        { NBD_ENOSPC, ENOSPC },
        { NBD_EOVERFLOW, EOVERFLOW },
        { NBD_ENOTSUP, ENOTSUP },
        { NBD_ESHUTDOWN, ESHUTDOWN },
        { 0, EINVAL }, /* an error that is none */
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].error == error)
            return table[i].number;
    return EIO;
}

static enum request_op op_of(const struct remote_replies *replies)
{
    return replies->slot->req->view.op;
}

static struct extent_list *extents_of(const struct remote_replies *replies)
{
    return (struct extent_list *)(void *)replies->slot->req->view.data;
}

/* ---- the end of a reply ---- */

/* A server that answered without an extent has told nothing: all of it may be data.  Of another
 * context nobody knows what would be safe to say. */
static void told_nothing(struct remote_slot *slot, struct extent_list *list)
{
    if (slot->req->context == 0) {
        extent_list_add(list, remote_command_extents_bytes(slot), 0);
        return;
    }
    slot->error = EIO;
    if (slot->why == NULL)
        slot->why = "the server's reply tells nothing of it";
}

static const char *reply_ends(struct remote_replies *replies)
{
    struct remote_slot *slot = replies->slot;

    if (slot->error == 0 && op_of(replies) == REQUEST_READ &&
        !remote_coverage_is_whole(&slot->coverage, slot->piece_bytes))
        return "its reply to a READ lacks some of the data";
    if (slot->error == 0 && op_of(replies) == REQUEST_EXTENTS && extents_of(replies)->count == 0)
        told_nothing(slot, extents_of(replies));
    want_header(replies);
    replies->owner->answered(replies, slot);
    return NULL;
}

static const char *chunk_ends(struct remote_replies *replies)
{
    if (replies->chunk.flags & NBD_REPLY_FLAG_DONE)
        return reply_ends(replies);
    return want_header(replies);
}

/* Notes which bytes of the piece come; NULL, or why they may not. */
static const char *expect_data(struct remote_replies *replies, uint64_t offset_bytes,
                               uint32_t length_bytes, uint32_t *at)
{
    struct remote_slot *slot = replies->slot;
    uint64_t from_bytes = offset_bytes - remote_command_offset_bytes(slot);

    if (from_bytes > slot->piece_bytes || length_bytes > slot->piece_bytes - from_bytes)
        return "its reply to a READ has data from beyond what was asked for";
    *at = (uint32_t)from_bytes;
    return remote_coverage_add(&slot->coverage, *at, length_bytes);
}

/* ---- headers ---- */

/* What it answers is known by the cookie: a command that is on its way, or may be. */
static const char *find_slot(struct remote_replies *replies, uint64_t cookie)
{
    struct remote_slot *slot = &replies->slots[cookie % replies->slot_count];

    if (slot->req == NULL || slot->cookie != cookie || !slot->begun || slot->answered)
        return "it answers a request that was never sent, or has been answered";
    replies->slot = slot;
    return NULL;
}

static const char *take_simple(struct remote_replies *replies)
{
    uint32_t error;
    uint64_t cookie;

    nbd_decode_simple_reply(replies->small, &error, &cookie);
    const char *reason = find_slot(replies, cookie);
    if (reason != NULL)
        return reason;
    struct remote_slot *slot = replies->slot;
    if (error != 0 && slot->error == 0)
        slot->error = errno_of(error);
    if (op_of(replies) != REQUEST_READ)
        return reply_ends(replies);
    if (replies->terms.structured_replies)
        return "its reply to a READ is not structured";
    if (error != 0)
        return reply_ends(replies);
    uint32_t at;
    reason = expect_data(replies, remote_command_offset_bytes(slot), slot->piece_bytes, &at);
    return reason != NULL
               ? reason
               : want(replies, REMOTE_SIMPLE_DATA, remote_command_data(slot), slot->piece_bytes);
}

static const char *take_chunk(struct remote_replies *replies);

static const char *take_extended_header(struct remote_replies *replies)
{
    uint64_t offset_bytes;

    if (!nbd_decode_extended_chunk(replies->small, &replies->chunk, &offset_bytes))
        return "what it sends is no reply of NBD with extended headers";
    const char *reason = find_slot(replies, replies->chunk.cookie);
    if (reason != NULL)
        return reason;
    if (offset_bytes != remote_command_request_offset_bytes(replies->slot))
        return "its reply has another offset than the request";
    return take_chunk(replies);
}

static const char *take_header(struct remote_replies *replies)
{
    if (replies->terms.extended_headers)
        return take_extended_header(replies);
    if (nbd_is_simple_reply(replies->small))
        return take_simple(replies);
    if (!replies->terms.structured_replies || !nbd_is_chunk(replies->small))
        return "what it sends is no reply of NBD";
    return want(replies, REMOTE_CHUNK_HEADER, replies->small + COMMON_HEADER_BYTES,
                NBD_CHUNK_HEADER_BYTES - COMMON_HEADER_BYTES);
}

static const char *begin_error(struct remote_replies *replies)
{
    const struct nbd_chunk *chunk = &replies->chunk;

    if (chunk->length_bytes < ERROR_BYTES || chunk->length_bytes > OTHER_ERROR_BYTES_MAX)
        return "an error chunk of its reply has a wrong length";
    if (++replies->slot->error_chunks > REMOTE_ERROR_CHUNKS_MAX)
        return "its reply has error chunks without end";
    return want_payload(replies, REMOTE_ERROR, replies->small, ERROR_BYTES);
}

static uint32_t extent_bytes_of(const struct remote_replies *replies)
{
    return replies->terms.extended_headers ? EXTENDED_EXTENT_BYTES : EXTENT_BYTES;
}

static const char *begin_status(struct remote_replies *replies)
{
    uint32_t length_bytes = replies->chunk.length_bytes;
    uint32_t head_bytes = replies->terms.extended_headers ? 8 : 4,
             each_bytes = extent_bytes_of(replies);

    if (op_of(replies) != REQUEST_EXTENTS)
        return "it sends block status that nobody asked for";
    if (length_bytes < head_bytes + each_bytes || length_bytes % each_bytes != head_bytes ||
        length_bytes > STATUS_BYTES_MAX)
        return "a chunk of its block status has a wrong length";
    return want_payload(replies, REMOTE_CONTEXT, replies->small, head_bytes);
}

static const char *take_chunk_header(struct remote_replies *replies)
{
    nbd_decode_chunk(replies->small, &replies->chunk);
    const char *reason = find_slot(replies, replies->chunk.cookie);
    return reason != NULL ? reason : take_chunk(replies);
}

/* Its header is there, and tells whose it is. */
static const char *take_chunk(struct remote_replies *replies)
{
    const struct nbd_chunk *chunk = &replies->chunk;

    replies->left_bytes = chunk->length_bytes;
    if (chunk->type & ERROR_TYPE_BIT)
        return begin_error(replies);
    switch (chunk->type) {
    case NBD_REPLY_TYPE_NONE:
        if (chunk->length_bytes != 0 || !(chunk->flags & NBD_REPLY_FLAG_DONE))
            return "an empty chunk of its reply has data, or is not the last one";
        return reply_ends(replies);
    case NBD_REPLY_TYPE_OFFSET_DATA:
        if (op_of(replies) != REQUEST_READ)
            return "it sends data that nobody asked for";
        if (chunk->length_bytes <= 8)
            return "a chunk of its reply to a READ is empty";
        return want_payload(replies, REMOTE_DATA_OFFSET, replies->small, 8);
    case NBD_REPLY_TYPE_OFFSET_HOLE:
        if (op_of(replies) != REQUEST_READ || chunk->length_bytes != 12)
            return "it sends a hole that nobody asked for, or of a wrong length";
        return want_payload(replies, REMOTE_HOLE, replies->small, 12);
    case NBD_REPLY_TYPE_BLOCK_STATUS:
    case NBD_REPLY_TYPE_BLOCK_STATUS_EXT:
        if (replies->terms.extended_headers != (chunk->type == NBD_REPLY_TYPE_BLOCK_STATUS_EXT))
            return "it sends block status of the wrong kind";
        return begin_status(replies);
    default:
        return "it sends a chunk of an unknown type";
    }
}

/* ---- payloads ---- */

/* Straight into the request. */
static const char *take_data_offset(struct remote_replies *replies)
{
    uint32_t at, length_bytes = replies->left_bytes;
    const char *reason = expect_data(replies, nbd_get_u64(replies->small), length_bytes, &at);

    if (reason != NULL)
        return reason;
    return want_payload(replies, REMOTE_DATA, remote_command_data(replies->slot) + at,
                        length_bytes);
}

static const char *take_hole(struct remote_replies *replies)
{
    uint32_t at, length_bytes = nbd_get_u32(replies->small + 8);
    const char *reason = expect_data(replies, nbd_get_u64(replies->small), length_bytes, &at);

    if (reason != NULL)
        return reason;
    memset(remote_command_data(replies->slot) + at, 0, length_bytes);
    return chunk_ends(replies);
}

static const char *want_extents(struct remote_replies *replies)
{
    uint32_t most_bytes = REMOTE_SMALL_BYTES / EXTENDED_EXTENT_BYTES * EXTENDED_EXTENT_BYTES;

    return want_payload(replies, REMOTE_EXTENTS, replies->small,
                        replies->left_bytes < most_bytes ? replies->left_bytes : most_bytes);
}

/* What is said of other contexts is skipped. */
static const char *take_context(struct remote_replies *replies)
{
    const struct meta_context_ids *contexts = &replies->terms.contexts;
    bool wanted = nbd_get_u32(replies->small) == contexts->id[replies->slot->req->context];

    if (replies->terms.extended_headers &&
        nbd_get_u32(replies->small + 4) != replies->left_bytes / EXTENDED_EXTENT_BYTES)
        return "a chunk of its block status has another count than extents";
    replies->unlisted_bytes =
        wanted && replies->slot->why == NULL ? remote_command_extents_bytes(replies->slot) : 0;
    if (replies->unlisted_bytes > 0)
        extent_list_clear(extents_of(replies));
    return want_extents(replies);
}

/* No more of this context is listed. */
static void stop_listing(struct remote_replies *replies, int error, const char *why)
{
    replies->unlisted_bytes = 0;
    if (extents_of(replies)->count > 0)
        return; /* what is known is told: who asks for the rest is told why not */
    replies->slot->error = error;
    replies->slot->why = why;
}

/* Of base:allocation what is unclear is data.  What nobody knows the meaning of is passed on as it
 * is, or not at all. */
static void list_extent(struct remote_replies *replies, uint64_t length_bytes, uint64_t flags)
{
    const struct remote_slot *slot = replies->slot;

    if (slot->req->context == 0) {
        flags &= EXTENT_HOLE | EXTENT_ZERO;
    } else if (flags > UINT32_MAX && !(slot->req->flags & REQUEST_WIDE)) {
        stop_listing(
            replies, EOVERFLOW,
            "its flags have more than 32 bits, which takes a client with extended headers");
        return;
    } else if (length_bytes % slot->extent_multiple_bytes != 0) {
        stop_listing(replies, EIO, "an extent is no multiple of the server's blocks");
        return;
    }
    if (extent_list_add(extents_of(replies), length_bytes, flags))
        replies->unlisted_bytes -= length_bytes;
    else
        replies->unlisted_bytes = 0; /* it is full */
}

/* Whatever the server says, the list stays inside the range that was asked for. */
static const char *take_extents(struct remote_replies *replies)
{
    const uint8_t *at = replies->small, *end = at + replies->part.length_bytes;
    bool extended = replies->terms.extended_headers;

    for (; at < end && replies->unlisted_bytes > 0; at += extent_bytes_of(replies)) {
        uint64_t length_bytes = extended ? nbd_get_u64(at) : nbd_get_u32(at);
        uint64_t flags = extended ? nbd_get_u64(at + 8) : nbd_get_u32(at + 4);

        if (length_bytes == 0)
            return "an extent of its reply to a BLOCK_STATUS is empty";
        if (length_bytes > replies->unlisted_bytes)
            length_bytes = replies->unlisted_bytes;
        list_extent(replies, length_bytes, flags);
    }
    return replies->left_bytes > 0 ? want_extents(replies) : chunk_ends(replies);
}

static const char *take_error(struct remote_replies *replies)
{
    uint32_t text_bytes = nbd_get_u16(replies->small + 4);
    uint32_t tail_bytes = replies->chunk.type == NBD_REPLY_TYPE_ERROR_OFFSET ? 8 : 0;
    bool known = tail_bytes > 0 || replies->chunk.type == NBD_REPLY_TYPE_ERROR;

    if (text_bytes > NBD_STRING_BYTES_MAX || text_bytes + tail_bytes > replies->left_bytes ||
        (known && text_bytes + tail_bytes != replies->left_bytes))
        return "the text of an error chunk of its reply has a wrong length";
    if (replies->slot->error == 0)
        replies->slot->error = errno_of(nbd_get_u32(replies->small));
    replies->text_bytes = (uint16_t)text_bytes;
    return want_payload(replies, REMOTE_ERROR_TEXT, replies->small, text_bytes + tail_bytes);
}

/* Also what types of errors that are unknown here have behind the text, which tells nothing. */
static const char *take_error_text(struct remote_replies *replies)
{
    const struct remote_slot *slot = replies->slot;

    if (replies->chunk.type == NBD_REPLY_TYPE_ERROR_OFFSET) {
        uint64_t at =
            nbd_get_u64(replies->small + replies->text_bytes) - slot->req->view.offset_bytes;

        if (at >= slot->req->view.length_bytes)
            return "it tells of an error beyond what was asked for";
        if (op_of(replies) == REQUEST_READ && slot->req->error_at_bytes == 0)
            slot->req->error_at_bytes = (uint32_t)at;
    }
    replies->owner->complaint(replies, slot, replies->small, replies->text_bytes);
    replies->text_bytes = 0;
    if (replies->left_bytes == 0)
        return chunk_ends(replies);
    return want_payload(replies, REMOTE_ERROR_TEXT, replies->small,
                        replies->left_bytes < REMOTE_SMALL_BYTES ? replies->left_bytes
                                                                 : REMOTE_SMALL_BYTES);
}

/* ---- all of it ---- */

static part_fn *const takers[] = {
    [REMOTE_HEADER] = take_header,     [REMOTE_CHUNK_HEADER] = take_chunk_header,
    [REMOTE_SIMPLE_DATA] = reply_ends, [REMOTE_DATA_OFFSET] = take_data_offset,
    [REMOTE_DATA] = chunk_ends,        [REMOTE_HOLE] = take_hole,
    [REMOTE_CONTEXT] = take_context,   [REMOTE_EXTENTS] = take_extents,
    [REMOTE_ERROR] = take_error,       [REMOTE_ERROR_TEXT] = take_error_text,
};

const char *remote_replies_take(struct remote_replies *replies)
{
    return takers[replies->part.kind](replies);
}

void remote_replies_init(struct remote_replies *replies, const struct remote_replies_owner *owner,
                         struct remote_slot *slots, unsigned slot_count)
{
    replies->owner = owner;
    replies->slots = slots;
    replies->slot_count = slot_count;
}

void remote_replies_begin(struct remote_replies *replies,
                          const struct remote_connection *connection)
{
    replies->terms = connection->terms;
    want_header(replies);
}
