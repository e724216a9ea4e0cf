/* The NBD wire format: pure encode and decode on byte ranges, no I/O, no state.
 * Source: NetworkBlockDevice/nbd doc/proto.md; for extended headers that of its branch
 * extension-ext-header.  All integers are big endian on the wire. */
#ifndef NBDCRYPT_NBD_WIRE_H
#define NBDCRYPT_NBD_WIRE_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NBD_STRING_BYTES_MAX 4096u
/* Of one READ or WRITE: proto.md, "Size constraints", 2^25 at least. */
#define NBD_PAYLOAD_BYTES_MAX (32u * 1024u * 1024u)

/* Handshake flags (server) and client flags. */
#define NBD_FLAG_FIXED_NEWSTYLE (1u << 0)
#define NBD_FLAG_NO_ZEROES (1u << 1)
#define NBD_FLAG_C_FIXED_NEWSTYLE (1u << 0)
#define NBD_FLAG_C_NO_ZEROES (1u << 1)

enum nbd_option {
    NBD_OPT_EXPORT_NAME = 1,
    NBD_OPT_ABORT = 2,
    NBD_OPT_LIST = 3,
    NBD_OPT_PEEK_EXPORT = 4,
    NBD_OPT_STARTTLS = 5,
    NBD_OPT_INFO = 6,
    NBD_OPT_GO = 7,
    NBD_OPT_STRUCTURED_REPLY = 8,
    NBD_OPT_LIST_META_CONTEXT = 9,
    NBD_OPT_SET_META_CONTEXT = 10,
    NBD_OPT_EXTENDED_HEADERS = 11,
};

#define NBD_REP_ACK 1u
#define NBD_REP_SERVER 2u
#define NBD_REP_INFO 3u
#define NBD_REP_META_CONTEXT 4u
#define NBD_REP_ERR_UNSUP 0x80000001u
#define NBD_REP_ERR_POLICY 0x80000002u
#define NBD_REP_ERR_INVALID 0x80000003u
#define NBD_REP_ERR_PLATFORM 0x80000004u
#define NBD_REP_ERR_TLS_REQD 0x80000005u
#define NBD_REP_ERR_UNKNOWN 0x80000006u
#define NBD_REP_ERR_SHUTDOWN 0x80000007u
#define NBD_REP_ERR_BLOCK_SIZE_REQD 0x80000008u
#define NBD_REP_ERR_TOO_BIG 0x80000009u
#define NBD_REP_ERR_EXT_HEADER_REQD 0x8000000au

/* Of LIST_META_CONTEXT, ours: a query, and the beginning of its answer, which goes on with the UUID
 * of the volume that the export shows. */
#define NBD_CONTEXT_UUID "nbdcrypt:uuid:"

#define NBD_INFO_EXPORT 0u
#define NBD_INFO_NAME 1u
#define NBD_INFO_DESCRIPTION 2u
#define NBD_INFO_BLOCK_SIZE 3u

/* Transmission flags. */
#define NBD_FLAG_HAS_FLAGS (1u << 0)
#define NBD_FLAG_READ_ONLY (1u << 1)
#define NBD_FLAG_SEND_FLUSH (1u << 2)
#define NBD_FLAG_SEND_FUA (1u << 3)
#define NBD_FLAG_ROTATIONAL (1u << 4)
#define NBD_FLAG_SEND_TRIM (1u << 5)
#define NBD_FLAG_SEND_WRITE_ZEROES (1u << 6)
#define NBD_FLAG_SEND_DF (1u << 7)
#define NBD_FLAG_CAN_MULTI_CONN (1u << 8)
#define NBD_FLAG_SEND_CACHE (1u << 10)
#define NBD_FLAG_SEND_FAST_ZERO (1u << 11)
#define NBD_FLAG_BLOCK_STATUS_PAYLOAD (1u << 12)

enum nbd_command {
    NBD_CMD_READ = 0,
    NBD_CMD_WRITE = 1,
    NBD_CMD_DISC = 2,
    NBD_CMD_FLUSH = 3,
    NBD_CMD_TRIM = 4,
    NBD_CMD_CACHE = 5,
    NBD_CMD_WRITE_ZEROES = 6,
    NBD_CMD_BLOCK_STATUS = 7,
};

#define NBD_CMD_FLAG_FUA (1u << 0)
#define NBD_CMD_FLAG_NO_HOLE (1u << 1)
#define NBD_CMD_FLAG_DF (1u << 2)
#define NBD_CMD_FLAG_REQ_ONE (1u << 3)
#define NBD_CMD_FLAG_FAST_ZERO (1u << 4)
#define NBD_CMD_FLAG_PAYLOAD_LEN (1u << 5)

#define NBD_REPLY_FLAG_DONE (1u << 0)
#define NBD_REPLY_TYPE_NONE 0u
#define NBD_REPLY_TYPE_OFFSET_DATA 1u
#define NBD_REPLY_TYPE_OFFSET_HOLE 2u
#define NBD_REPLY_TYPE_BLOCK_STATUS 5u
#define NBD_REPLY_TYPE_BLOCK_STATUS_EXT 6u
#define NBD_REPLY_TYPE_ERROR 0x8001u
#define NBD_REPLY_TYPE_ERROR_OFFSET 0x8002u

#define NBD_EPERM 1u
#define NBD_EIO 5u
#define NBD_ENOMEM 12u
#define NBD_EINVAL 22u
#define NBD_ENOSPC 28u
#define NBD_EOVERFLOW 75u
#define NBD_ENOTSUP 95u
#define NBD_ESHUTDOWN 108u

/* Sizes of what is fixed on the wire. */
#define NBD_GREETING_BYTES 18u /* NBDMAGIC, IHAVEOPT, flags */
#define NBD_CLIENT_FLAGS_BYTES 4u
#define NBD_OPTION_HEADER_BYTES 16u
#define NBD_OPTION_REPLY_BYTES 20u /* header of a reply to an option */
#define NBD_EXPORT_NAME_REPLY_BYTES 10u
#define NBD_EXPORT_NAME_ZEROES_BYTES 124u
#define NBD_REQUEST_BYTES 28u
#define NBD_SIMPLE_REPLY_BYTES 16u
#define NBD_CHUNK_HEADER_BYTES 20u
#define NBD_OFFSET_DATA_BYTES (NBD_CHUNK_HEADER_BYTES + 8u)
/* With extended headers. */
#define NBD_EXTENDED_REQUEST_BYTES 32u
#define NBD_EXTENDED_CHUNK_HEADER_BYTES 32u
#define NBD_STATUS_QUERY_BYTES 12u /* payload of a BLOCK_STATUS that names one context */

#define NBD_REQUEST_MAGIC 0x25609513u
#define NBD_SIMPLE_REPLY_MAGIC 0x67446698u
#define NBD_CHUNK_MAGIC 0x668e33efu
#define NBD_EXTENDED_REQUEST_MAGIC 0x21e41c71u
#define NBD_EXTENDED_CHUNK_MAGIC 0x6e8a278cu

struct nbd_request {
    uint16_t flags;
    uint16_t command;
    uint64_t cookie;
    uint64_t offset_bytes;
    uint64_t length_bytes;
};

struct nbd_option_header {
    uint32_t option;
    uint32_t length_bytes;
};

struct nbd_option_reply {
    uint32_t option;
    uint32_t type;
    uint32_t length_bytes;
};

struct nbd_chunk {
    uint16_t flags;
    uint16_t type;
    uint64_t cookie;
    uint32_t length_bytes;
};

/* Each encoder writes exactly the bytes named above; each decoder reads them and returns
 * false when the magic is wrong. */

/* ---- what each request goes through is inlined ---- */

static inline void nbd_put_u16(uint8_t *out, uint16_t value)
{
    value = htobe16(value);
    memcpy(out, &value, sizeof value);
}

static inline void nbd_put_u32(uint8_t *out, uint32_t value)
{
    value = htobe32(value);
    memcpy(out, &value, sizeof value);
}

static inline void nbd_put_u64(uint8_t *out, uint64_t value)
{
    value = htobe64(value);
    memcpy(out, &value, sizeof value);
}

static inline uint16_t nbd_get_u16(const uint8_t *in)
{
    uint16_t value;

    memcpy(&value, in, sizeof value);
    return be16toh(value);
}

static inline uint32_t nbd_get_u32(const uint8_t *in)
{
    uint32_t value;

    memcpy(&value, in, sizeof value);
    return be32toh(value);
}

static inline uint64_t nbd_get_u64(const uint8_t *in)
{
    uint64_t value;

    memcpy(&value, in, sizeof value);
    return be64toh(value);
}

/* Request: 32 bits magic, 16 bits flags, 16 bits command, 64 bits cookie, 64 bits offset,
 * 32 bits length. */
static inline bool nbd_decode_request(const uint8_t in[NBD_REQUEST_BYTES],
                                      struct nbd_request *request)
{
    request->flags = nbd_get_u16(in + 4);
    request->command = nbd_get_u16(in + 6);
    request->cookie = nbd_get_u64(in + 8);
    request->offset_bytes = nbd_get_u64(in + 16);
    request->length_bytes = nbd_get_u32(in + 24);
    return nbd_get_u32(in) == NBD_REQUEST_MAGIC;
}

/* Extended request: the same, but the length has 64 bits. */
static inline bool nbd_decode_extended_request(const uint8_t in[NBD_EXTENDED_REQUEST_BYTES],
                                               struct nbd_request *request)
{
    request->flags = nbd_get_u16(in + 4);
    request->command = nbd_get_u16(in + 6);
    request->cookie = nbd_get_u64(in + 8);
    request->offset_bytes = nbd_get_u64(in + 16);
    request->length_bytes = nbd_get_u64(in + 24);
    return nbd_get_u32(in) == NBD_EXTENDED_REQUEST_MAGIC;
}

static inline bool nbd_decode_request_of(const uint8_t *in, bool extended,
                                         struct nbd_request *request)
{
    return __builtin_expect(extended, false) ? nbd_decode_extended_request(in, request)
                                             : nbd_decode_request(in, request);
}

/* Simple reply: 32 bits magic, 32 bits error, 64 bits cookie. */
static inline void nbd_encode_simple_reply(uint8_t out[NBD_SIMPLE_REPLY_BYTES], uint32_t error,
                                           uint64_t cookie)
{
    nbd_put_u32(out, NBD_SIMPLE_REPLY_MAGIC);
    nbd_put_u32(out + 4, error);
    nbd_put_u64(out + 8, cookie);
}

/* Chunk of a structured reply: 32 bits magic, 16 bits flags, 16 bits type, 64 bits cookie,
 * 32 bits length of its data. */
static inline void nbd_encode_chunk(uint8_t out[NBD_CHUNK_HEADER_BYTES],
                                    const struct nbd_chunk *chunk)
{
    nbd_put_u32(out, NBD_CHUNK_MAGIC);
    nbd_put_u16(out + 4, chunk->flags);
    nbd_put_u16(out + 6, chunk->type);
    nbd_put_u64(out + 8, chunk->cookie);
    nbd_put_u32(out + 16, chunk->length_bytes);
}

/* Chunk of an extended reply: 32 bits magic, 16 bits flags, 16 bits type, 64 bits cookie, 64 bits
 * offset of the request, 64 bits length of its data. */
static inline void nbd_encode_extended_chunk(uint8_t out[NBD_EXTENDED_CHUNK_HEADER_BYTES],
                                             const struct nbd_chunk *chunk, uint64_t offset_bytes)
{
    nbd_put_u32(out, NBD_EXTENDED_CHUNK_MAGIC);
    nbd_put_u16(out + 4, chunk->flags);
    nbd_put_u16(out + 6, chunk->type);
    nbd_put_u64(out + 8, chunk->cookie);
    nbd_put_u64(out + 16, offset_bytes);
    nbd_put_u64(out + 24, chunk->length_bytes);
}

/* ---- the rest ---- */

void nbd_encode_greeting(uint8_t out[NBD_GREETING_BYTES], uint16_t flags);
bool nbd_decode_greeting(const uint8_t in[NBD_GREETING_BYTES], uint16_t *flags);
uint32_t nbd_decode_client_flags(const uint8_t in[NBD_CLIENT_FLAGS_BYTES]);
void nbd_encode_option_header(uint8_t out[NBD_OPTION_HEADER_BYTES],
                              const struct nbd_option_header *header);
bool nbd_decode_option_header(const uint8_t in[NBD_OPTION_HEADER_BYTES],
                              struct nbd_option_header *header);
void nbd_encode_option_reply(uint8_t out[NBD_OPTION_REPLY_BYTES],
                             const struct nbd_option_reply *reply);
bool nbd_decode_option_reply(const uint8_t in[NBD_OPTION_REPLY_BYTES],
                             struct nbd_option_reply *reply);
/* Of the length its 32 bits. */
void nbd_encode_request(uint8_t out[NBD_REQUEST_BYTES], const struct nbd_request *request);
void nbd_encode_extended_request(uint8_t out[NBD_EXTENDED_REQUEST_BYTES],
                                 const struct nbd_request *request);
bool nbd_decode_simple_reply(const uint8_t in[NBD_SIMPLE_REPLY_BYTES], uint32_t *error,
                             uint64_t *cookie);
/* Which of the two begins here, by the magic: the first 4 bytes. */
bool nbd_is_simple_reply(const uint8_t in[4]);
bool nbd_is_chunk(const uint8_t in[4]);
bool nbd_decode_chunk(const uint8_t in[NBD_CHUNK_HEADER_BYTES], struct nbd_chunk *chunk);
/* False, too, where its data is longer than 32 bits can say: nobody sends that. `offset_bytes`:
 * that of the request. */
bool nbd_decode_extended_chunk(const uint8_t in[NBD_EXTENDED_CHUNK_HEADER_BYTES],
                               struct nbd_chunk *chunk, uint64_t *offset_bytes);

/* A cursor over the payload of an option; each take fails (false) when the bytes are not
 * there, and nothing is taken then.  Lengths are compared before they are added. */
struct nbd_cursor {
    const uint8_t *at;
    size_t left_bytes;
};
bool nbd_take_u16(struct nbd_cursor *cursor, uint16_t *out);
bool nbd_take_u32(struct nbd_cursor *cursor, uint32_t *out);
bool nbd_take_bytes(struct nbd_cursor *cursor, size_t length_bytes, const uint8_t **out);

/* A string of the protocol: at most 4096 bytes, no NUL, valid UTF-8. */
bool nbd_string_is_valid(const uint8_t *text, size_t length_bytes);

/* A positive errno (0: success) as the protocol's error number: EROFS -> EPERM, EDQUOT and EFBIG ->
 * ENOSPC, unknown ones -> EIO. */
uint32_t nbd_error_from_errno(int error);

/* Names for logs and messages; "UNKNOWN" for what the protocol does not define. */
const char *nbd_option_name(uint32_t option);
const char *nbd_command_name(uint32_t command);

#endif
