#include "server/client/client-options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/nbd/nbd-wire.h"

#define OPTION_REPLY_BYTES_MAX (1u << 20) /* and even that is more than anybody reads */

int client_option_discard(struct channel *channel, uint32_t length_bytes, struct error *err)
{
    uint8_t waste[4096];

    while (length_bytes > 0) {
        uint32_t part = length_bytes < sizeof waste ? length_bytes : (uint32_t)sizeof waste;
        int result = channel_receive(channel, waste, part, err);

        if (result != 0)
            return result;
        length_bytes -= part;
    }
    return 0;
}

int client_option_send(struct channel *channel, uint32_t option, const uint8_t *data,
                       uint32_t length_bytes, struct error *err)
{
    uint8_t header[NBD_OPTION_HEADER_BYTES];

    nbd_encode_option_header(header, &(struct nbd_option_header){ option, length_bytes });
    int result = channel_send(channel, header, sizeof header, err);
    return result == 0 ? channel_send(channel, data, length_bytes, err) : result;
}

int client_option_receive(struct channel *channel, uint32_t option, struct option_answer *answer,
                          struct error *err)
{
    uint8_t header[NBD_OPTION_REPLY_BYTES];
    struct nbd_option_reply reply;
    int result = channel_receive(channel, header, sizeof header, err);

    if (result != 0)
        return result;
    if (!nbd_decode_option_reply(header, &reply) || reply.option != option)
        return error_set(err, -EPROTO, "the server's answer to %s is not NBD",
                         nbd_option_name(option));
    if (reply.length_bytes > OPTION_REPLY_BYTES_MAX)
        return error_set(err, -EPROTO, "the server's answer to %s is too long: %u bytes",
                         nbd_option_name(option), reply.length_bytes);
    answer->type = reply.type;
    answer->length_bytes = reply.length_bytes;
    answer->kept_bytes =
        reply.length_bytes < OPTION_REPLY_TEXT_MAX ? reply.length_bytes : OPTION_REPLY_TEXT_MAX;
    result = channel_receive(channel, answer->data, answer->kept_bytes, err);
    answer->data[answer->kept_bytes] = '\0';
    return result == 0
               ? client_option_discard(channel, reply.length_bytes - answer->kept_bytes, err)
               : result;
}

static const char *refusal_text(uint32_t type)
{
    switch (type) {
    case NBD_REP_ERR_POLICY:
        return "it is forbidden";
    case NBD_REP_ERR_TLS_REQD:
        return "it is served with TLS only: nbds:// asks for that, and a server whose mode is "
               "require-tcp does not demand it of local clients";
    case NBD_REP_ERR_UNKNOWN:
        return "there is no such export";
    case NBD_REP_ERR_SHUTDOWN:
        return "the server is ending";
    default:
        return "the server refuses";
    }
}

int client_option_refused(const struct option_answer *answer, const char *name, struct error *err)
{
    const char *words = (const char *)answer->data;

    return error_set(err, -ECONNREFUSED, "export '%s': %s%s%.500s%s", name,
                     refusal_text(answer->type), *words ? " (the server says: " : "", words,
                     *words ? ")" : "");
}

int client_option_greet(struct channel *channel, bool *no_zeroes, struct error *err)
{
    uint8_t greeting[NBD_GREETING_BYTES], answer[NBD_CLIENT_FLAGS_BYTES];
    uint16_t flags;
    int result = channel_receive(channel, greeting, sizeof greeting, err);

    if (result != 0)
        return result;
    if (!nbd_decode_greeting(greeting, &flags) || (flags & NBD_FLAG_FIXED_NEWSTYLE) == 0)
        return error_set(err, -EPROTO, "this is no NBD server, or one from before 2011");
    *no_zeroes = (flags & NBD_FLAG_NO_ZEROES) != 0;
    nbd_put_u32(answer, NBD_FLAG_C_FIXED_NEWSTYLE | (*no_zeroes ? NBD_FLAG_C_NO_ZEROES : 0));
    return channel_send(channel, answer, sizeof answer, err);
}

/* An option without data that is either granted or not. */
int client_option_ask(struct channel *channel, uint32_t option, bool *granted, struct error *err)
{
    struct option_answer answer;
    int result = client_option_send(channel, option, NULL, 0, err);

    if (result == 0)
        result = client_option_receive(channel, option, &answer, err);
    if (result == 0)
        *granted = answer.type == NBD_REP_ACK;
    return result;
}

int client_option_start_tls(struct channel *channel, client_start_tls_fn *start_tls, void *context,
                            struct error *err)
{
    bool granted = false;
    int result = client_option_ask(channel, NBD_OPT_STARTTLS, &granted, err);

    if (result != 0)
        return result;
    if (!granted)
        return error_set(err, -ECONNREFUSED, "the server has no TLS");
    return start_tls(context, channel, err);
}

static uint8_t *put_string(uint8_t *at, const char *text)
{
    uint32_t bytes = (uint32_t)strlen(text);

    nbd_put_u32(at, bytes);
    memcpy(at + 4, text, bytes);
    return at + 4 + bytes;
}

/* 32 bits length and the name; 32 bits number of queries; 32 bits length and text of each. */
int client_option_ask_contexts(struct channel *channel, uint32_t option, const char *name,
                               const struct client_queries *queries, struct error *err)
{
    size_t length_bytes = 4 + strlen(name) + 4;

    for (unsigned i = 0; i < queries->count; i++)
        length_bytes += 4 + strlen(queries->texts[i]);
    uint8_t *data = malloc(length_bytes);
    if (data == NULL)
        return error_no_memory(err, "to ask for metadata contexts");
    uint8_t *at = put_string(data, name);
    nbd_put_u32(at, queries->count);
    at += 4;
    for (unsigned i = 0; i < queries->count; i++)
        at = put_string(at, queries->texts[i]);
    int result = client_option_send(channel, option, data, (uint32_t)length_bytes, err);
    free(data);
    return result;
}
