#include "server/connection/option-replies.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/base/log.h"
#include "server/connection/conversation.h"

uint8_t *option_reply_room(struct option_exchange *ex, size_t length_bytes)
{
    uint8_t *at = ex->reply + ex->reply_bytes;

    assert(length_bytes <= sizeof ex->reply - ex->reply_bytes);
    ex->reply_bytes += length_bytes;
    return at;
}

void option_reply_header(struct option_exchange *ex, uint32_t type, size_t length_bytes)
{
    const struct nbd_option_reply reply = {
        .option = ex->option,
        .type = type,
        .length_bytes = (uint32_t)length_bytes,
    };

    nbd_encode_option_reply(option_reply_room(ex, NBD_OPTION_REPLY_BYTES), &reply);
}

void option_reply_u16(struct option_exchange *ex, uint16_t value)
{
    nbd_put_u16(option_reply_room(ex, sizeof value), value);
}

void option_reply_u32(struct option_exchange *ex, uint32_t value)
{
    nbd_put_u32(option_reply_room(ex, sizeof value), value);
}

void option_reply_u64(struct option_exchange *ex, uint64_t value)
{
    nbd_put_u64(option_reply_room(ex, sizeof value), value);
}

void option_reply_text(struct option_exchange *ex, const char *text, size_t length_bytes)
{
    memcpy(option_reply_room(ex, length_bytes), text, length_bytes);
}

enum option_outcome option_reply_ack(struct option_exchange *ex)
{
    option_reply_header(ex, NBD_REP_ACK, 0);
    return OPTION_NEXT;
}

/* The longest prefix of valid UTF-8 within `limit` bytes. */
size_t option_valid_prefix_bytes(const char *text, size_t length_bytes, size_t limit)
{
    size_t bytes = length_bytes < limit ? length_bytes : limit;

    while (bytes > 0 && !nbd_string_is_valid((const uint8_t *)text, bytes))
        bytes--;
    return bytes;
}

void option_reply_error(struct option_exchange *ex, uint32_t type, const char *text)
{
    size_t bytes = option_valid_prefix_bytes(text, strlen(text), OPTION_SENTENCE_BYTES);

    option_reply_header(ex, type, bytes);
    option_reply_text(ex, text, bytes);
}

void option_log_refusal(const struct option_exchange *ex, const char *text)
{
    conversation_log(ex->talk, LOG_NOTICE, "%s refused: %s", nbd_option_name(ex->option), text);
}

void option_refuse(struct option_exchange *ex, uint32_t type, const char *format, ...)
{
    char text[OPTION_SENTENCE_BYTES];
    va_list args;

    va_start(args, format);
    if (vsnprintf(text, sizeof text, format, args) < 0)
        text[0] = '\0';
    va_end(args);
    option_reply_error(ex, type, text);
    option_log_refusal(ex, text);
}

enum option_outcome option_refuse_invalid(struct option_exchange *ex, const char *why)
{
    option_refuse(ex, NBD_REP_ERR_INVALID, "%s: %s", nbd_option_name(ex->option), why);
    return OPTION_NEXT;
}
