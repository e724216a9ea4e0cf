#include "plugins/remote/remote-command.h"

#include <assert.h>
#include <errno.h>

static const uint16_t commands[REQUEST_OP_COUNT] = {
    [REQUEST_READ] = NBD_CMD_READ,
    [REQUEST_WRITE] = NBD_CMD_WRITE,
    [REQUEST_FLUSH] = NBD_CMD_FLUSH,
    [REQUEST_TRIM] = NBD_CMD_TRIM,
    [REQUEST_CACHE] = NBD_CMD_CACHE,
    [REQUEST_ZERO] = NBD_CMD_WRITE_ZEROES,
    [REQUEST_EXTENTS] = NBD_CMD_BLOCK_STATUS,
};

static uint16_t flags_of(const struct request *req, const struct remote_features *features)
{
    uint16_t flags = 0;

    switch (remote_command_op(req)) {
    case REQUEST_ZERO:
        if (!(req->flags & REQUEST_MAY_TRIM))
            flags |= NBD_CMD_FLAG_NO_HOLE;
        if (req->flags & REQUEST_FAST_ZERO)
            flags |= NBD_CMD_FLAG_FAST_ZERO;
        break;
    case REQUEST_EXTENTS:
        return req->flags & REQUEST_ONE ? NBD_CMD_FLAG_REQ_ONE : 0;
    case REQUEST_WRITE:
    case REQUEST_TRIM:
        break;
    default:
        return 0;
    }
    if (req->flags & REQUEST_FUA && features->fua)
        flags |= NBD_CMD_FLAG_FUA;
    return flags;
}

static bool is_to_be_durable(const struct request *req)
{
    const uint32_t changes = OP_BIT(REQUEST_WRITE) | OP_BIT(REQUEST_ZERO) | OP_BIT(REQUEST_TRIM);

    return req->flags & REQUEST_FUA && changes & OP_BIT(req->view.op);
}

bool remote_command_needs_flush(const struct request *req, const struct remote_features *features)
{
    return is_to_be_durable(req) && !features->fua && features->flush;
}

bool remote_command_is_sync(const struct request *req, const struct remote_features *features)
{
    return remote_command_op(req) == REQUEST_FLUSH || (is_to_be_durable(req) && features->fua);
}

enum request_op remote_command_op(const struct request *req)
{
    return req->backend_step == REMOTE_THEN_FLUSH ? REQUEST_FLUSH : req->view.op;
}

uint64_t remote_command_extents_bytes(const struct remote_slot *slot)
{
    uint64_t length_bytes = slot->req->view.length_bytes, most_bytes = slot->extents_most_bytes;

    if (!slot->extended && length_bytes > REQUEST_BYTES_MAX)
        length_bytes = REQUEST_BYTES_MAX;
    return most_bytes > 0 && most_bytes < length_bytes ? most_bytes : length_bytes;
}

void remote_command_restart(struct request *req)
{
    req->backend_step = REMOTE_ITSELF;
    req->progress_bytes = 0;
    req->epoch = 0;
    req->error_at_bytes = 0;
}

uint8_t *remote_command_data(const struct remote_slot *slot)
{
    return slot->req->view.data + slot->req->progress_bytes;
}

uint64_t remote_command_offset_bytes(const struct remote_slot *slot)
{
    return slot->req->view.offset_bytes + slot->req->progress_bytes;
}

uint64_t remote_command_request_offset_bytes(const struct remote_slot *slot)
{
    return nbd_get_u64(slot->header + 16); /* in either kind of header */
}

static void encode_header(struct remote_slot *slot, struct nbd_request *request)
{
    slot->header_bytes = slot->extended ? NBD_EXTENDED_REQUEST_BYTES : NBD_REQUEST_BYTES;
    if (slot->extended && request->command == NBD_CMD_WRITE)
        request->flags |= NBD_CMD_FLAG_PAYLOAD_LEN;
    if (slot->extended)
        nbd_encode_extended_request(slot->header, request);
    else
        nbd_encode_request(slot->header, request);
    if (request->command == NBD_CMD_BLOCK_STATUS && request->flags & NBD_CMD_FLAG_PAYLOAD_LEN)
        slot->header_bytes += NBD_STATUS_QUERY_BYTES;
}

/* Where the server can, it tells of the context alone that is wanted: all that it was asked for
 * costs it work, and is told in vain. */
static void name_context(struct remote_slot *slot, struct nbd_request *request,
                         const struct remote_terms *terms)
{
    const struct meta_context_ids *contexts = &terms->contexts;
    bool only_one = (contexts->present & (contexts->present - 1)) == 0;
    uint8_t *query = slot->header + NBD_EXTENDED_REQUEST_BYTES;

    if (!terms->status_payload || only_one)
        return;
    nbd_put_u64(query, request->length_bytes);
    nbd_put_u32(query + 8, contexts->id[slot->req->context]);
    request->flags |= NBD_CMD_FLAG_PAYLOAD_LEN;
    request->length_bytes = NBD_STATUS_QUERY_BYTES;
}

/* The list may have been begun before.  EIO: this connection does not have the context, which the
 * link has told. */
static int prepare_extents(struct remote_slot *slot, struct nbd_request *request,
                           const struct remote_features *features, const struct remote_terms *terms)
{
    if (!(terms->contexts.present & META_CONTEXT_BIT(slot->req->context)))
        return EIO;
    extent_list_clear((struct extent_list *)(void *)slot->req->view.data);
    slot->extent_multiple_bytes = features->block_min_bytes;
    slot->why = NULL;
    request->length_bytes = remote_command_extents_bytes(slot);
    name_context(slot, request, terms);
    return 0;
}

int remote_command_prepare(struct remote_slot *slot, const struct remote_features *features,
                           const struct remote_terms *terms)
{
    const struct request *req = slot->req;
    const struct view *view = &req->view;
    enum request_op op = remote_command_op(req);
    bool transfers = op == REQUEST_READ || op == REQUEST_WRITE;
    struct nbd_request request = {
        .command = commands[op],
        .flags = flags_of(req, features),
        .cookie = slot->cookie,
        .offset_bytes = view->offset_bytes,
        .length_bytes = view->length_bytes,
    };

    if (op == REQUEST_ZERO && req->flags & REQUEST_FAST_ZERO && !features->fast_zero)
        return ENOTSUP;
    slot->extended = terms->extended_headers;
    if (transfers) {
        uint32_t left_bytes = (uint32_t)view->length_bytes - req->progress_bytes;

        slot->piece_bytes =
            left_bytes < features->payload_max_bytes ? left_bytes : features->payload_max_bytes;
        request.offset_bytes = remote_command_offset_bytes(slot);
        request.length_bytes = slot->piece_bytes;
    } else if (op == REQUEST_FLUSH) {
        request.offset_bytes = request.length_bytes = 0; /* the view's are something else */
    } else if (op == REQUEST_EXTENTS) {
        int error = prepare_extents(slot, &request, features, terms);

        if (error != 0)
            return error;
    }
    encode_header(slot, &request);
    slot->data_bytes = op == REQUEST_WRITE ? slot->piece_bytes : 0;
    slot->unsent_bytes = slot->header_bytes + slot->data_bytes;
    slot->error = 0;
    slot->begun = slot->answered = false;
    slot->error_chunks = 0;
    slot->coverage.count = 0;
    return 0;
}
