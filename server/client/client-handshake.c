#include "server/client/client-handshake.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "server/client/client-contexts.h"
#include "server/client/client-options.h"
#include "server/nbd/nbd-wire.h"

#define OPTION_REPLIES_MAX 64u /* a server that has more to say about one export is broken */

/* What the server has besides base:allocation is only asked for where that is of use. */
static int ask_for_contexts(struct export_info *info, struct channel *channel,
                            const struct client_wishes *wishes, struct error *err)
{
    const struct meta_contexts *contexts = wishes->contexts;
    int result = 0;

    if (wishes->listed != NULL) {
        result = client_contexts_list(wishes->listed, &info->contexts_left_out, channel,
                                      wishes->export_name, err);
        contexts = wishes->listed;
    }
    if (result == 0)
        result = client_contexts_set(&info->context_ids, &info->contexts_refusal, channel,
                                     wishes->export_name, contexts, err);
    info->base_allocation = (info->context_ids.present & META_CONTEXT_BIT(0)) != 0;
    return result;
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
        int result = client_option_receive(channel, NBD_OPT_GO, &answer, err);

        if (result != 0)
            return result;
        if (answer.type == NBD_REP_ACK && complete)
            return 0;
        if (answer.type == NBD_REP_ERR_UNSUP)
            return 1;
        if (answer.type != NBD_REP_INFO)
            return client_option_refused(&answer, name, err);
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
    int result = client_option_send(channel, NBD_OPT_GO, data, 8 + name_bytes, err);
    return result == 0 ? take_go_answers(info, channel, name, err) : result;
}

/* The old way, without an answer but the export itself: a server that refuses just closes. */
static int go_by_name(struct export_info *info, struct channel *channel, const char *name,
                      bool no_zeroes, struct error *err)
{
    uint8_t reply[NBD_EXPORT_NAME_REPLY_BYTES];
    int result = client_option_send(channel, NBD_OPT_EXPORT_NAME, (const uint8_t *)name,
                                    (uint32_t)strlen(name), err);

    if (result == 0)
        result = channel_receive(channel, reply, sizeof reply, err);
    if (result != 0) {
        error_prefix(err, "export '%s': ", name);
        return result;
    }
    info->size_bytes = nbd_get_u64(reply);
    info->flags = nbd_get_u16(reply + 8);
    return no_zeroes ? 0 : client_option_discard(channel, NBD_EXPORT_NAME_ZEROES_BYTES, err);
}

static int negotiate(struct export_info *info, struct channel *channel,
                     const struct client_wishes *wishes, struct error *err)
{
    const char *name = wishes->export_name;
    bool no_zeroes = false;
    int result = client_option_greet(channel, &no_zeroes, err);

    if (result == 0 && wishes->start_tls != NULL)
        result = client_option_start_tls(channel, wishes->start_tls, wishes->context, err);
    if (result == 0 && wishes->extended_headers)
        result = client_option_ask(channel, NBD_OPT_EXTENDED_HEADERS, &info->extended_headers, err);
    if (result == 0 && wishes->structured_replies && !info->extended_headers)
        result =
            client_option_ask(channel, NBD_OPT_STRUCTURED_REPLY, &info->structured_replies, err);
    info->structured_replies |= info->extended_headers;
    if (result == 0 && wishes->base_allocation && info->structured_replies)
        result = ask_for_contexts(info, channel, wishes, err);
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
        int result = client_option_receive(channel, NBD_OPT_LIST_META_CONTEXT, &answer, err);

        if (result != 0)
            return result;
        if (answer.type == NBD_REP_ERR_UNKNOWN)
            return client_option_refused(&answer, name, err);
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
    int result = client_option_greet(channel, &no_zeroes, err);

    uuid[0] = '\0';
    if (result == 0 && wishes->start_tls != NULL)
        result = client_option_start_tls(channel, wishes->start_tls, wishes->context, err);
    if (result == 0)
        result = client_option_ask(channel, NBD_OPT_STRUCTURED_REPLY, &structured, err);
    if (result == 0 && structured)
        result = client_option_ask_contexts(
            channel, NBD_OPT_LIST_META_CONTEXT, name,
            &(struct client_queries){ .texts = { NBD_CONTEXT_UUID }, .count = 1 }, err);
    if (result == 0 && structured)
        result = take_uuid_answers(uuid, channel, name, err);
    if (result == 0)
        result = client_option_send(channel, NBD_OPT_ABORT, NULL, 0, err);
    /* It is answered, or the server just closes: both are an end in order. */
    if (result == 0 && client_option_receive(channel, NBD_OPT_ABORT, &answer, NULL) == -ECANCELED)
        result = error_set(err, -ECANCELED, "the program ends");
    return result;
}
