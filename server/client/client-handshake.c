#include "server/client/client-handshake.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "server/nbd/nbd-wire.h"

#define OPTION_REPLY_TEXT_MAX 4096u
#define OPTION_REPLIES_MAX 64u /* a server that has more to say about one export is broken */

#define CONTEXT_QUERY_BYTES_MAX 32u

static const char base_allocation[] = "base:allocation";

static int discard(struct channel *channel, uint32_t length_bytes, struct error *err)
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

/* ---- options and their replies ---- */

struct option_answer {
    uint32_t type;
    uint32_t length_bytes; /* of what came */
    uint32_t kept_bytes;   /* of it, in `data` */
    uint8_t data[OPTION_REPLY_TEXT_MAX + 1];
};

static int send_option(struct channel *channel, uint32_t option, const uint8_t *data,
                       uint32_t length_bytes, struct error *err)
{
    uint8_t header[NBD_OPTION_HEADER_BYTES];

    nbd_encode_option_header(header, &(struct nbd_option_header){ option, length_bytes });
    int result = channel_send(channel, header, sizeof header, err);
    return result == 0 ? channel_send(channel, data, length_bytes, err) : result;
}

static int receive_answer(struct channel *channel, uint32_t option, struct option_answer *answer,
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
    answer->type = reply.type;
    answer->length_bytes = reply.length_bytes;
    answer->kept_bytes =
        reply.length_bytes < OPTION_REPLY_TEXT_MAX ? reply.length_bytes : OPTION_REPLY_TEXT_MAX;
    result = channel_receive(channel, answer->data, answer->kept_bytes, err);
    answer->data[answer->kept_bytes] = '\0';
    return result == 0 ? discard(channel, reply.length_bytes - answer->kept_bytes, err) : result;
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

static int refused(const struct option_answer *answer, const char *name, struct error *err)
{
    const char *words = (const char *)answer->data;

    return error_set(err, -ECONNREFUSED, "export '%s': %s%s%.500s%s", name,
                     refusal_text(answer->type), *words ? " (the server says: " : "", words,
                     *words ? ")" : "");
}

/* ---- the steps, in order ---- */

static int greet(struct channel *channel, bool *no_zeroes, struct error *err)
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
static int ask(struct channel *channel, uint32_t option, bool *granted, struct error *err)
{
    struct option_answer answer;
    int result = send_option(channel, option, NULL, 0, err);

    if (result == 0)
        result = receive_answer(channel, option, &answer, err);
    if (result == 0)
        *granted = answer.type == NBD_REP_ACK;
    return result;
}

static int start_tls(struct channel *channel, const struct client_wishes *wishes, struct error *err)
{
    bool granted = false;
    int result = ask(channel, NBD_OPT_STARTTLS, &granted, err);

    if (result != 0)
        return result;
    if (!granted)
        return error_set(err, -ECONNREFUSED, "the server has no TLS");
    return wishes->start_tls(wishes->context, channel, err);
}

static int take_contexts(struct export_info *info, struct channel *channel, struct error *err)
{
    struct option_answer answer;

    for (unsigned i = 0; i < OPTION_REPLIES_MAX; i++) {
        int result = receive_answer(channel, NBD_OPT_SET_META_CONTEXT, &answer, err);

        if (result != 0)
            return result;
        if (answer.type != NBD_REP_META_CONTEXT) {
            info->base_allocation &= answer.type == NBD_REP_ACK;
            return 0;
        }
        /* 32 bits number, and the name. */
        if (answer.length_bytes != 4 + strlen(base_allocation) ||
            memcmp(answer.data + 4, base_allocation, strlen(base_allocation)) != 0)
            continue;
        info->base_allocation = true;
        info->base_allocation_id = nbd_get_u32(answer.data);
    }
    return error_set(err, -EPROTO, "the server's answer to SET_META_CONTEXT does not end");
}

/* 32 bits length and the name; 32 bits number of queries; 32 bits length and the query. */
static int ask_for_context(struct channel *channel, uint32_t option, const char *name,
                           const char *query, struct error *err)
{
    uint8_t data[4 + NBD_STRING_BYTES_MAX + 4 + 4 + CONTEXT_QUERY_BYTES_MAX];
    uint32_t name_bytes = (uint32_t)strlen(name), query_bytes = (uint32_t)strlen(query);
    uint8_t *at = data + 4 + name_bytes;

    assert(query_bytes <= CONTEXT_QUERY_BYTES_MAX);
    nbd_put_u32(data, name_bytes);
    memcpy(data + 4, name, name_bytes);
    nbd_put_u32(at, 1);
    nbd_put_u32(at + 4, query_bytes);
    memcpy(at + 8, query, query_bytes);
    return send_option(channel, option, data, 12 + name_bytes + query_bytes, err);
}

static int ask_for_base_allocation(struct export_info *info, struct channel *channel,
                                   const char *name, struct error *err)
{
    int result = ask_for_context(channel, NBD_OPT_SET_META_CONTEXT, name, base_allocation, err);

    return result == 0 ? take_contexts(info, channel, err) : result;
}

/* One NBD_REP_INFO: 16 bits type, then what the type has. */
static void take_info(struct export_info *info, const struct option_answer *answer, bool *complete)
{
    uint16_t type = answer->length_bytes >= 2 ? nbd_get_u16(answer->data) : UINT16_MAX;

    if (type == NBD_INFO_EXPORT && answer->length_bytes == 12) {
        info->size_bytes = nbd_get_u64(answer->data + 2);
        info->flags = nbd_get_u16(answer->data + 10);
        *complete = true;
    } else if (type == NBD_INFO_BLOCK_SIZE && answer->length_bytes == 14) {
        info->block_min_bytes = nbd_get_u32(answer->data + 2);
        info->block_preferred_bytes = nbd_get_u32(answer->data + 6);
        info->block_max_bytes = nbd_get_u32(answer->data + 10);
    }
}

/* 1: the server does not know GO. */
static int take_go_answers(struct export_info *info, struct channel *channel, const char *name,
                           struct error *err)
{
    struct option_answer answer;
    bool complete = false;

    for (unsigned i = 0; i < OPTION_REPLIES_MAX; i++) {
        int result = receive_answer(channel, NBD_OPT_GO, &answer, err);

        if (result != 0)
            return result;
        if (answer.type == NBD_REP_ACK && complete)
            return 0;
        if (answer.type == NBD_REP_ERR_UNSUP)
            return 1;
        if (answer.type != NBD_REP_INFO)
            return refused(&answer, name, err);
        take_info(info, &answer, &complete);
    }
    return error_set(err, -EPROTO, "export '%s': the server's answer to GO does not end", name);
}

static int go(struct export_info *info, struct channel *channel, const char *name,
              struct error *err)
{
    uint8_t data[4 + NBD_STRING_BYTES_MAX + 4];
    uint32_t name_bytes = (uint32_t)strlen(name);

    nbd_put_u32(data, name_bytes);
    memcpy(data + 4, name, name_bytes);
    nbd_put_u16(data + 4 + name_bytes, 1); /* one piece of information is asked for */
    nbd_put_u16(data + 6 + name_bytes, NBD_INFO_BLOCK_SIZE);
    int result = send_option(channel, NBD_OPT_GO, data, 8 + name_bytes, err);
    return result == 0 ? take_go_answers(info, channel, name, err) : result;
}

/* The old way, without an answer but the export itself: a server that refuses just closes. */
static int go_by_name(struct export_info *info, struct channel *channel, const char *name,
                      bool no_zeroes, struct error *err)
{
    uint8_t reply[NBD_EXPORT_NAME_REPLY_BYTES];
    int result = send_option(channel, NBD_OPT_EXPORT_NAME, (const uint8_t *)name,
                             (uint32_t)strlen(name), err);

    if (result == 0)
        result = channel_receive(channel, reply, sizeof reply, err);
    if (result != 0) {
        error_prefix(err, "export '%s': ", name);
        return result;
    }
    info->size_bytes = nbd_get_u64(reply);
    info->flags = nbd_get_u16(reply + 8);
    return no_zeroes ? 0 : discard(channel, NBD_EXPORT_NAME_ZEROES_BYTES, err);
}

static int negotiate(struct export_info *info, struct channel *channel,
                     const struct client_wishes *wishes, struct error *err)
{
    const char *name = wishes->export_name;
    bool no_zeroes = false;
    int result = greet(channel, &no_zeroes, err);

    if (result == 0 && wishes->start_tls != NULL)
        result = start_tls(channel, wishes, err);
    if (result == 0 && wishes->extended_headers)
        result = ask(channel, NBD_OPT_EXTENDED_HEADERS, &info->extended_headers, err);
    if (result == 0 && wishes->structured_replies && !info->extended_headers)
        result = ask(channel, NBD_OPT_STRUCTURED_REPLY, &info->structured_replies, err);
    info->structured_replies |= info->extended_headers;
    if (result == 0 && wishes->base_allocation && info->structured_replies)
        result = ask_for_base_allocation(info, channel, name, err);
    if (result == 0)
        result = go(info, channel, name, err);
    if (result == 1 && info->extended_headers)
        result = error_set(err, -EPROTO, "the server has extended headers, but not GO");
    if (result == 1)
        result = go_by_name(info, channel, name, no_zeroes, err);
    return result;
}

int client_handshake(struct export_info *out, struct channel *channel,
                     const struct client_wishes *wishes, struct error *err)
{
    assert(strlen(wishes->export_name) <= NBD_STRING_BYTES_MAX);
    *out = (struct export_info){ .size_bytes = 0 };
    int result = negotiate(out, channel, wishes, err);
    if (result == 0 && out->size_bytes > INT64_MAX)
        result = error_set(err, -EPROTO,
                           "export '%s': the server says that it has %llu bytes, "
                           "which cannot be",
                           wishes->export_name, (unsigned long long)out->size_bytes);
    return result;
}

/* ---- which disk it is ---- */

/* Of a context "nbdcrypt:uuid:VALUE". */
static void take_uuid(char uuid[CLIENT_UUID_BYTES], const struct option_answer *answer)
{
    size_t prefix_bytes = strlen(NBD_CONTEXT_UUID);

    if (answer->kept_bytes <= 4 + prefix_bytes ||
        answer->kept_bytes - 4 - prefix_bytes >= CLIENT_UUID_BYTES ||
        memcmp(answer->data + 4, NBD_CONTEXT_UUID, prefix_bytes) != 0)
        return;
    const char *text = (const char *)answer->data + 4 + prefix_bytes;
    if (strspn(text, "0123456789abcdefABCDEF-") == answer->kept_bytes - 4 - prefix_bytes)
        memcpy(uuid, text, strlen(text) + 1);
}

/* A server that does not know the option, or refuses it, says no more. */
static int take_uuid_answers(char uuid[CLIENT_UUID_BYTES], struct channel *channel,
                             const char *name, struct error *err)
{
    struct option_answer answer;

    for (unsigned i = 0; i < OPTION_REPLIES_MAX; i++) {
        int result = receive_answer(channel, NBD_OPT_LIST_META_CONTEXT, &answer, err);

        if (result != 0)
            return result;
        if (answer.type == NBD_REP_ERR_UNKNOWN)
            return refused(&answer, name, err);
        if (answer.type != NBD_REP_META_CONTEXT)
            return 0;
        take_uuid(uuid, &answer);
    }
    return error_set(err, -EPROTO, "the server's answer to LIST_META_CONTEXT does not end");
}

int client_handshake_uuid(char uuid[CLIENT_UUID_BYTES], struct channel *channel,
                          const struct client_wishes *wishes, struct error *err)
{
    const char *name = wishes->export_name;
    bool no_zeroes = false, structured = false;
    struct option_answer answer;
    int result = greet(channel, &no_zeroes, err);

    uuid[0] = '\0';
    if (result == 0 && wishes->start_tls != NULL)
        result = start_tls(channel, wishes, err);
    if (result == 0)
        result = ask(channel, NBD_OPT_STRUCTURED_REPLY, &structured, err);
    if (result == 0 && structured)
        result = ask_for_context(channel, NBD_OPT_LIST_META_CONTEXT, name, NBD_CONTEXT_UUID, err);
    if (result == 0 && structured)
        result = take_uuid_answers(uuid, channel, name, err);
    if (result == 0)
        result = send_option(channel, NBD_OPT_ABORT, NULL, 0, err);
    /* It is answered, or the server just closes: both are an end in order. */
    if (result == 0 && receive_answer(channel, NBD_OPT_ABORT, &answer, NULL) == -ECANCELED)
        result = error_set(err, -ECANCELED, "the program ends");
    return result;
}
