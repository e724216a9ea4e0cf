#include "server/nbd/nbd-wire.h"

#include <errno.h>
#include <string.h>

#include "server/base/utf8.h"

#define MAGIC_SERVER 0x4e42444d41474943u /* "NBDMAGIC" */
#define MAGIC_OPTION 0x49484156454f5054u /* "IHAVEOPT" */
#define MAGIC_OPTION_REPLY 0x0003e889045565a9u

/* Greeting: 64 bits NBDMAGIC, 64 bits IHAVEOPT, 16 bits handshake flags. */
void nbd_encode_greeting(uint8_t out[NBD_GREETING_BYTES], uint16_t flags)
{
    nbd_put_u64(out, MAGIC_SERVER);
    nbd_put_u64(out + 8, MAGIC_OPTION);
    nbd_put_u16(out + 16, flags);
}

bool nbd_decode_greeting(const uint8_t in[NBD_GREETING_BYTES], uint16_t *flags)
{
    *flags = nbd_get_u16(in + 16);
    return nbd_get_u64(in) == MAGIC_SERVER && nbd_get_u64(in + 8) == MAGIC_OPTION;
}

uint32_t nbd_decode_client_flags(const uint8_t in[NBD_CLIENT_FLAGS_BYTES])
{
    return nbd_get_u32(in);
}

/* Option: 64 bits IHAVEOPT, 32 bits option, 32 bits length of its data. */
void nbd_encode_option_header(uint8_t out[NBD_OPTION_HEADER_BYTES],
                              const struct nbd_option_header *header)
{
    nbd_put_u64(out, MAGIC_OPTION);
    nbd_put_u32(out + 8, header->option);
    nbd_put_u32(out + 12, header->length_bytes);
}

bool nbd_decode_option_header(const uint8_t in[NBD_OPTION_HEADER_BYTES],
                              struct nbd_option_header *header)
{
    header->option = nbd_get_u32(in + 8);
    header->length_bytes = nbd_get_u32(in + 12);
    return nbd_get_u64(in) == MAGIC_OPTION;
}

/* Option reply: 64 bits magic, 32 bits option, 32 bits type, 32 bits length of its data. */
void nbd_encode_option_reply(uint8_t out[NBD_OPTION_REPLY_BYTES],
                             const struct nbd_option_reply *reply)
{
    nbd_put_u64(out, MAGIC_OPTION_REPLY);
    nbd_put_u32(out + 8, reply->option);
    nbd_put_u32(out + 12, reply->type);
    nbd_put_u32(out + 16, reply->length_bytes);
}

bool nbd_decode_option_reply(const uint8_t in[NBD_OPTION_REPLY_BYTES],
                             struct nbd_option_reply *reply)
{
    reply->option = nbd_get_u32(in + 8);
    reply->type = nbd_get_u32(in + 12);
    reply->length_bytes = nbd_get_u32(in + 16);
    return nbd_get_u64(in) == MAGIC_OPTION_REPLY;
}

void nbd_encode_request(uint8_t out[NBD_REQUEST_BYTES], const struct nbd_request *request)
{
    nbd_put_u32(out, NBD_REQUEST_MAGIC);
    nbd_put_u16(out + 4, request->flags);
    nbd_put_u16(out + 6, request->command);
    nbd_put_u64(out + 8, request->cookie);
    nbd_put_u64(out + 16, request->offset_bytes);
    nbd_put_u32(out + 24, (uint32_t)request->length_bytes);
}

void nbd_encode_extended_request(uint8_t out[NBD_EXTENDED_REQUEST_BYTES],
                                 const struct nbd_request *request)
{
    nbd_put_u32(out, NBD_EXTENDED_REQUEST_MAGIC);
    nbd_put_u16(out + 4, request->flags);
    nbd_put_u16(out + 6, request->command);
    nbd_put_u64(out + 8, request->cookie);
    nbd_put_u64(out + 16, request->offset_bytes);
    nbd_put_u64(out + 24, request->length_bytes);
}

bool nbd_decode_simple_reply(const uint8_t in[NBD_SIMPLE_REPLY_BYTES], uint32_t *error,
                             uint64_t *cookie)
{
    *error = nbd_get_u32(in + 4);
    *cookie = nbd_get_u64(in + 8);
    return nbd_get_u32(in) == NBD_SIMPLE_REPLY_MAGIC;
}

bool nbd_is_simple_reply(const uint8_t in[4])
{
    return nbd_get_u32(in) == NBD_SIMPLE_REPLY_MAGIC;
}

bool nbd_is_chunk(const uint8_t in[4])
{
    return nbd_get_u32(in) == NBD_CHUNK_MAGIC;
}

bool nbd_decode_chunk(const uint8_t in[NBD_CHUNK_HEADER_BYTES], struct nbd_chunk *chunk)
{
    chunk->flags = nbd_get_u16(in + 4);
    chunk->type = nbd_get_u16(in + 6);
    chunk->cookie = nbd_get_u64(in + 8);
    chunk->length_bytes = nbd_get_u32(in + 16);
    return nbd_get_u32(in) == NBD_CHUNK_MAGIC;
}

bool nbd_decode_extended_chunk(const uint8_t in[NBD_EXTENDED_CHUNK_HEADER_BYTES],
                               struct nbd_chunk *chunk, uint64_t *offset_bytes)
{
    uint64_t length_bytes = nbd_get_u64(in + 24);

    *chunk = (struct nbd_chunk){
        .flags = nbd_get_u16(in + 4),
        .type = nbd_get_u16(in + 6),
        .cookie = nbd_get_u64(in + 8),
        .length_bytes = (uint32_t)length_bytes,
    };
    *offset_bytes = nbd_get_u64(in + 16);
    return nbd_get_u32(in) == NBD_EXTENDED_CHUNK_MAGIC && length_bytes <= UINT32_MAX;
}

bool nbd_take_bytes(struct nbd_cursor *cursor, size_t length_bytes, const uint8_t **out)
{
    if (length_bytes > cursor->left_bytes)
        return false;
    *out = cursor->at;
    cursor->at += length_bytes;
    cursor->left_bytes -= length_bytes;
    return true;
}

bool nbd_take_u16(struct nbd_cursor *cursor, uint16_t *out)
{
    const uint8_t *at;

    if (!nbd_take_bytes(cursor, sizeof *out, &at))
        return false;
    *out = nbd_get_u16(at);
    return true;
}

bool nbd_take_u32(struct nbd_cursor *cursor, uint32_t *out)
{
    const uint8_t *at;

    if (!nbd_take_bytes(cursor, sizeof *out, &at))
        return false;
    *out = nbd_get_u32(at);
    return true;
}

bool nbd_string_is_valid(const uint8_t *text, size_t length_bytes)
{
    if (length_bytes > NBD_STRING_BYTES_MAX)
        return false;
    while (length_bytes > 0) {
        size_t bytes = utf8_sequence_bytes((const char *)text, length_bytes);

        if (bytes == 0)
            return false;
        text += bytes;
        length_bytes -= bytes;
    }
    return true;
}

uint32_t nbd_error_from_errno(int error)
{
    switch (error) {
    case 0:
        return 0;
    case EPERM:
    case EROFS:
        return NBD_EPERM;
    case ENOMEM:
        return NBD_ENOMEM;
    case EINVAL:
        return NBD_EINVAL;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return NBD_ENOSPC;
    case EOVERFLOW:
        return NBD_EOVERFLOW;
    case ENOTSUP:
        return NBD_ENOTSUP;
    case ESHUTDOWN:
        return NBD_ESHUTDOWN;
    default:
        return NBD_EIO;
    }
}

const char *nbd_option_name(uint32_t option)
{
    static const char *const names[] = {
        [NBD_OPT_EXPORT_NAME] = "EXPORT_NAME",
        [NBD_OPT_ABORT] = "ABORT",
        [NBD_OPT_LIST] = "LIST",
        [NBD_OPT_PEEK_EXPORT] = "PEEK_EXPORT",
        [NBD_OPT_STARTTLS] = "STARTTLS",
        [NBD_OPT_INFO] = "INFO",
        [NBD_OPT_GO] = "GO",
        [NBD_OPT_STRUCTURED_REPLY] = "STRUCTURED_REPLY",
        [NBD_OPT_LIST_META_CONTEXT] = "LIST_META_CONTEXT",
        [NBD_OPT_SET_META_CONTEXT] = "SET_META_CONTEXT",
        [NBD_OPT_EXTENDED_HEADERS] = "EXTENDED_HEADERS",
    };

    if (option >= sizeof names / sizeof names[0] || names[option] == NULL)
        return "UNKNOWN";
    return names[option];
}

const char *nbd_command_name(uint32_t command)
{
    static const char *const names[] = {
        [NBD_CMD_READ] = "READ",
        [NBD_CMD_WRITE] = "WRITE",
        [NBD_CMD_DISC] = "DISC",
        [NBD_CMD_FLUSH] = "FLUSH",
        [NBD_CMD_TRIM] = "TRIM",
        [NBD_CMD_CACHE] = "CACHE",
        [NBD_CMD_WRITE_ZEROES] = "WRITE_ZEROES",
        [NBD_CMD_BLOCK_STATUS] = "BLOCK_STATUS",
    };

    if (command >= sizeof names / sizeof names[0])
        return "UNKNOWN";
    return names[command];
}
