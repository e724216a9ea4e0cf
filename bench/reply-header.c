#include "bench/reply-header.h"

#include "server/nbd/nbd-wire.h"

#define ERROR_TEXT_BYTES_MAX 65536u /* the chunk types for errors have a 16-bit length of text */

/* What follows the header of a chunk, by type; each takes the chunk and what is available
 * behind its header, and returns how many of those bytes it has decoded. */

static int decode_none(struct reply_header *out, const struct nbd_chunk *chunk)
{
    return out->done && chunk->length_bytes == 0 ? 0 : REPLY_MALFORMED;
}

static int decode_data(struct reply_header *out, const struct nbd_chunk *chunk, const uint8_t *in)
{
    if (chunk->length_bytes <= 8)
        return REPLY_MALFORMED;
    out->has_data = true;
    out->data_offset_bytes = nbd_get_u64(in);
    out->data_bytes = chunk->length_bytes - 8;
    return 8;
}

static int decode_hole(struct reply_header *out, const struct nbd_chunk *chunk, const uint8_t *in)
{
    if (chunk->length_bytes != 12)
        return REPLY_MALFORMED;
    out->has_hole = true;
    out->data_offset_bytes = nbd_get_u64(in);
    out->hole_bytes = nbd_get_u32(in + 8);
    return 12;
}

/* ERROR, ERROR_OFFSET and types of errors to come: all begin with the error and its text. */
static int decode_error(struct reply_header *out, const struct nbd_chunk *chunk, const uint8_t *in)
{
    if (chunk->length_bytes < 6 || chunk->length_bytes > ERROR_TEXT_BYTES_MAX)
        return REPLY_MALFORMED;
    out->error = nbd_get_u32(in);
    out->text_bytes = chunk->length_bytes - 4;
    return out->error != 0 ? 4 : REPLY_MALFORMED;
}

static uint32_t bytes_needed(const struct nbd_chunk *chunk)
{
    if ((chunk->type & 0x8000u) != 0)
        return 4;
    if (chunk->type == NBD_REPLY_TYPE_OFFSET_DATA)
        return 8;
    return chunk->type == NBD_REPLY_TYPE_OFFSET_HOLE ? 12 : 0;
}

/* The header of a chunk, of either kind: how many bytes it has, REPLY_INCOMPLETE or
 * REPLY_MALFORMED. */
static int chunk_header(struct nbd_chunk *chunk, const uint8_t *in, size_t available_bytes)
{
    uint64_t offset_bytes; /* of the request, which is known by its cookie */

    if (nbd_get_u32(in) == NBD_EXTENDED_CHUNK_MAGIC) {
        if (available_bytes < NBD_EXTENDED_CHUNK_HEADER_BYTES)
            return REPLY_INCOMPLETE;
        return nbd_decode_extended_chunk(in, chunk, &offset_bytes)
                   ? (int)NBD_EXTENDED_CHUNK_HEADER_BYTES
                   : REPLY_MALFORMED;
    }
    if (available_bytes < NBD_CHUNK_HEADER_BYTES)
        return REPLY_INCOMPLETE;
    return nbd_decode_chunk(in, chunk) ? (int)NBD_CHUNK_HEADER_BYTES : REPLY_MALFORMED;
}

static int decode_chunk(struct reply_header *out, const uint8_t *in, size_t available_bytes)
{
    struct nbd_chunk decoded, *chunk = &decoded;
    int more, header_bytes = chunk_header(chunk, in, available_bytes);

    if (header_bytes <= 0)
        return header_bytes;
    if (available_bytes < (size_t)header_bytes + bytes_needed(chunk))
        return REPLY_INCOMPLETE;
    in += header_bytes;
    out->cookie = chunk->cookie;
    out->error = 0; /* what it would be if this were a simple reply */
    out->done = (chunk->flags & NBD_REPLY_FLAG_DONE) != 0;
    if ((chunk->type & 0x8000u) != 0)
        more = decode_error(out, chunk, in);
    else if (chunk->type == NBD_REPLY_TYPE_NONE)
        more = decode_none(out, chunk);
    else if (chunk->type == NBD_REPLY_TYPE_OFFSET_DATA)
        more = decode_data(out, chunk, in);
    else if (chunk->type == NBD_REPLY_TYPE_OFFSET_HOLE)
        more = decode_hole(out, chunk, in);
    else
        return REPLY_MALFORMED; /* nothing else answers what is asked here */
    return more == REPLY_MALFORMED ? more : header_bytes + more;
}

int reply_header_decode(struct reply_header *out, const uint8_t *in, size_t available_bytes)
{
    *out = (struct reply_header){ .cookie = 0 };
    if (available_bytes < NBD_SIMPLE_REPLY_BYTES)
        return REPLY_INCOMPLETE;
    if (nbd_decode_simple_reply(in, &out->error, &out->cookie)) {
        out->simple = true;
        out->done = true;
        return (int)NBD_SIMPLE_REPLY_BYTES;
    }
    return decode_chunk(out, in, available_bytes);
}

uint32_t reply_header_missing_bytes(const uint8_t *in, uint32_t available_bytes)
{
    struct nbd_chunk chunk;

    if (available_bytes < NBD_SIMPLE_REPLY_BYTES)
        return NBD_SIMPLE_REPLY_BYTES - available_bytes;
    int header_bytes = chunk_header(&chunk, in, available_bytes);
    if (header_bytes > 0)
        return (uint32_t)header_bytes + bytes_needed(&chunk) - available_bytes;
    return (nbd_get_u32(in) == NBD_EXTENDED_CHUNK_MAGIC ? NBD_EXTENDED_CHUNK_HEADER_BYTES
                                                        : NBD_CHUNK_HEADER_BYTES) -
           available_bytes;
}

const char *reply_error_text(uint32_t error)
{
    static const struct {
        uint32_t error;
        const char *text;
    } texts[] = {
        { NBD_EPERM, "EPERM (not permitted: the export is read-only)" },
        { NBD_EIO, "EIO (input/output error)" },
        { NBD_ENOMEM, "ENOMEM (the server has not enough memory)" },
        { NBD_EINVAL, "EINVAL (it takes no such request)" },
        { NBD_ENOSPC, "ENOSPC (no space left)" },
        { NBD_EOVERFLOW, "EOVERFLOW (too large)" },
        { NBD_ENOTSUP, "ENOTSUP (not supported)" },
        { NBD_ESHUTDOWN, "ESHUTDOWN (the server is ending)" },
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i].error == error)
            return texts[i].text;
    }
    return "an error that the protocol does not define";
}
