#include "server/client/client-list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/utf8.h"
#include "server/client/client-options.h"
#include "server/nbd/nbd-wire.h"

#define EXPORTS_MAX 10000u
#define CONTEXTS_MAX 256u /* of an export */
#define INFOS_MAX 64u     /* of an export */
#define KEPT_BYTES_MAX (16u << 20)

static int too_much(const char *what, struct error *err)
{
    return error_set(err, -EPROTO, "the server says more than can be meant: %s", what);
}

/* A clean copy of what the server has sent; NULL: an error. */
static char *keep(struct client_list *list, const uint8_t *text, size_t length_bytes,
                  struct error *err)
{
    list->kept_bytes += length_bytes + 1;
    if (list->kept_bytes > KEPT_BYTES_MAX) {
        (void)too_much("its names and descriptions are longer than 16 MiB", err);
        return NULL;
    }
    char *clean = utf8_clean((const char *)text, length_bytes);
    if (clean == NULL)
        (void)error_no_memory(err, "for the list of exports");
    return clean;
}

/* ---- LIST ---- */

static int make_room(struct client_list *list, struct error *err)
{
    unsigned room = list->export_room == 0 ? 16 : 2 * list->export_room;

    if (list->export_count == EXPORTS_MAX)
        return too_much("it lists more than 10000 exports", err);
    if (list->export_count < list->export_room)
        return 0;
    struct client_list_export *more = realloc(list->exports, room * sizeof *more);
    if (more == NULL)
        return error_no_memory(err, "for the list of exports");
    list->exports = more;
    list->export_room = room;
    return 0;
}

static int add_export(struct client_list *list, const uint8_t *name, size_t name_bytes,
                      struct error *err)
{
    int result = make_room(list, err);

    if (result < 0)
        return result;
    struct client_list_export *export = &list->exports[list->export_count];
    *export = (struct client_list_export){ .name = keep(list, name, name_bytes, err) };
    if (export->name == NULL)
        return -ENOMEM;
    list->export_count++;
    if (memchr(name, '\0', name_bytes) == NULL) {
        export->wire_name = strndup((const char *)name, name_bytes);
        if (export->wire_name == NULL)
            return error_no_memory(err, "for the list of exports");
    }
    return 0;
}

/* One NBD_REP_SERVER: 32 bits length of the name, the name, and a description behind it. */
static int take_export(struct client_list *list, const struct option_answer *answer,
                       struct error *err)
{
    uint32_t name_bytes = answer->kept_bytes >= 4 ? nbd_get_u32(answer->data) : UINT32_MAX;

    if (answer->kept_bytes != answer->length_bytes || answer->kept_bytes < 4 ||
        name_bytes > answer->kept_bytes - 4 || name_bytes > NBD_STRING_BYTES_MAX)
        return error_set(err, -EPROTO, "the server's answer to LIST is not NBD");
    int result = add_export(list, answer->data + 4, name_bytes, err);
    size_t rest_bytes = answer->kept_bytes - 4 - name_bytes;
    if (result < 0 || rest_bytes == 0)
        return result;
    struct client_list_export *export = &list->exports[list->export_count - 1];
    export->description = keep(list, answer->data + 4 + name_bytes, rest_bytes, err);
    return export->description != NULL ? 0 : -ENOMEM;
}

/* What the server says of a refusal, without the name that it is about. */
static char *refusal(struct client_list *list, const struct option_answer *answer,
                     struct error *err)
{
    struct error words = { .text = "" };
    size_t prefix_bytes = strlen("export '': ");

    (void)client_option_refused(answer, "", &words);
    return keep(list, (const uint8_t *)words.text + prefix_bytes, strlen(words.text) - prefix_bytes,
                err);
}

static int list_exports(struct client_list *list, struct channel *channel, struct error *err)
{
    struct option_answer answer;
    int result = client_option_send(channel, NBD_OPT_LIST, NULL, 0, err);

    while (result == 0) {
        result = client_option_receive(channel, NBD_OPT_LIST, &answer, err);
        if (result != 0)
            break;
        if (answer.type == NBD_REP_ACK)
            return 0;
        if (answer.type != NBD_REP_SERVER) {
            list->list_refused = refusal(list, &answer, err);
            if (list->list_refused == NULL)
                return -ENOMEM;
            return answer.type == NBD_REP_ERR_TLS_REQD
                       ? error_set(err, -ECONNREFUSED, "%s", list->list_refused)
                       : 0;
        }
        result = take_export(list, &answer, err);
    }
    return result;
}

/* ---- INFO ---- */

/* One NBD_REP_INFO: 16 bits type, then what the type has. */
static int take_info(struct client_list *list, struct client_list_export *export,
                     const struct option_answer *answer, bool *complete, struct error *err)
{
    uint16_t type = answer->kept_bytes >= 2 ? nbd_get_u16(answer->data) : UINT16_MAX;
    struct export_info *info = &export->info;

    if (type == NBD_INFO_EXPORT && answer->length_bytes == 12) {
        info->size_bytes = nbd_get_u64(answer->data + 2);
        info->flags = nbd_get_u16(answer->data + 10);
        *complete = true;
    } else if (type == NBD_INFO_BLOCK_SIZE && answer->length_bytes == 14) {
        info->block_min_bytes = nbd_get_u32(answer->data + 2);
        info->block_preferred_bytes = nbd_get_u32(answer->data + 6);
        info->block_max_bytes = nbd_get_u32(answer->data + 10);
    } else if (type == NBD_INFO_DESCRIPTION && answer->kept_bytes > 2) {
        free(export->description);
        export->description = keep(list, answer->data + 2, answer->kept_bytes - 2, err);
        return export->description != NULL ? 0 : -ENOMEM;
    }
    return 0;
}

static int take_infos(struct client_list *list, struct client_list_export *export,
                      struct channel *channel, struct error *err)
{
    struct option_answer answer;
    bool complete = false;

    for (unsigned i = 0; i < INFOS_MAX; i++) {
        int result = client_option_receive(channel, NBD_OPT_INFO, &answer, err);

        if (result != 0)
            return result;
        if (answer.type == NBD_REP_ACK && complete)
            return 0;
        if (answer.type != NBD_REP_INFO && answer.type != NBD_REP_ACK) {
            export->why_not = refusal(list, &answer, err);
            return export->why_not == NULL ? -ENOMEM : 0;
        }
        if (answer.type == NBD_REP_ACK)
            return error_set(err, -EPROTO, "the server's answer to INFO tells no size");
        result = take_info(list, export, &answer, &complete, err);
        if (result != 0)
            return result;
    }
    return error_set(err, -EPROTO, "the server's answer to INFO does not end");
}

static int ask_info(struct client_list *list, struct client_list_export *export,
                    struct channel *channel, struct error *err)
{
    static const uint16_t wanted[] = { NBD_INFO_DESCRIPTION, NBD_INFO_BLOCK_SIZE };
    uint8_t data[4 + NBD_STRING_BYTES_MAX + 2 + sizeof wanted];
    uint32_t name_bytes = (uint32_t)strlen(export->wire_name);
    uint8_t *at = data + 4 + name_bytes;

    nbd_put_u32(data, name_bytes);
    memcpy(data + 4, export->wire_name, name_bytes);
    nbd_put_u16(at, sizeof wanted / sizeof wanted[0]);
    nbd_put_u16(at + 2, wanted[0]);
    nbd_put_u16(at + 4, wanted[1]);
    int result = client_option_send(channel, NBD_OPT_INFO, data, 10 + name_bytes, err);
    return result == 0 ? take_infos(list, export, channel, err) : result;
}

/* ---- LIST_META_CONTEXT ---- */

static int add_context(struct client_list *list, struct client_list_export *export,
                       const struct option_answer *answer, struct error *err)
{
    if (answer->kept_bytes < 4 || answer->length_bytes > 4 + NBD_STRING_BYTES_MAX)
        return error_set(err, -EPROTO, "the server's answer to LIST_META_CONTEXT is not NBD");
    char **more = realloc(export->contexts, (export->context_count + 1) * sizeof *more);
    if (more == NULL)
        return error_no_memory(err, "for the list of exports");
    export->contexts = more;
    more[export->context_count] = keep(list, answer->data + 4, answer->kept_bytes - 4, err);
    if (more[export->context_count] == NULL)
        return -ENOMEM;
    export->context_count++;
    return 0;
}

/* A server that refuses it has none that it tells of. */
static int ask_contexts(struct client_list *list, struct client_list_export *export,
                        struct channel *channel, struct error *err)
{
    static const struct client_queries all = { .count = 0 };
    struct option_answer answer;
    int result = client_option_ask_contexts(channel, NBD_OPT_LIST_META_CONTEXT, export->wire_name,
                                            &all, err);
    while (result == 0 && export->context_count < CONTEXTS_MAX) {
        result = client_option_receive(channel, NBD_OPT_LIST_META_CONTEXT, &answer, err);
        if (result == 0 && answer.type != NBD_REP_META_CONTEXT)
            return 0;
        if (result == 0)
            result = add_context(list, export, &answer, err);
    }
    return result == 0 ? too_much("an export has more than 255 contexts", err) : result;
}

/* As client_handshake() has it. */
static int check_size(struct client_list_export *export, struct error *err)
{
    if (export->why_not != NULL || export->info.size_bytes <= INT64_MAX)
        return 0;
    if (asprintf(&export->why_not, "the server says that it has %llu bytes, which cannot be",
                 (unsigned long long)export->info.size_bytes) >= 0)
        return 0;
    export->why_not = NULL;
    return error_no_memory(err, NULL);
}

static int look_at(struct client_list *list, struct client_list_export *export,
                   struct channel *channel, struct error *err)
{
    static const char nul[] = "its name holds a NUL, so that nobody can ask for it";

    if (export->wire_name == NULL) {
        export->why_not = strdup(nul);
        return export->why_not != NULL ? 0 : error_no_memory(err, NULL);
    }
    int result = ask_info(list, export, channel, err);
    if (result == 0)
        result = check_size(export, err);
    if (result == 0 && export->why_not == NULL &&
        (list->structured_replies || list->extended_headers))
        result = ask_contexts(list, export, channel, err);
    return result;
}

/* ---- all of it ---- */

/* Extended headers replace structured replies: proto.md, NBD_OPT_EXTENDED_HEADERS. */
static int ask_features(struct client_list *list, struct channel *channel, struct error *err)
{
    int result = client_option_ask(channel, NBD_OPT_EXTENDED_HEADERS, &list->extended_headers, err);

    if (result == 0 && !list->extended_headers)
        result =
            client_option_ask(channel, NBD_OPT_STRUCTURED_REPLY, &list->structured_replies, err);
    list->structured_replies |= list->extended_headers;
    return result;
}

static int find_exports(struct client_list *list, struct channel *channel, const char *name,
                        struct error *err)
{
    int result = name[0] == '\0' ? list_exports(list, channel, err) : 0;

    if (result == 0 && (name[0] != '\0' || list->list_refused != NULL))
        result = add_export(list, (const uint8_t *)name, strlen(name), err);
    return result;
}

int client_list_read(struct client_list *list, struct channel *channel,
                     const struct client_wishes *wishes, struct error *err)
{
    struct option_answer answer;
    bool no_zeroes;
    int result = client_option_greet(channel, &no_zeroes, err);

    if (result == 0 && wishes->start_tls != NULL)
        result = client_option_start_tls(channel, wishes->start_tls, wishes->context, err);
    if (result == 0)
        result = ask_features(list, channel, err);
    if (result == 0)
        result = find_exports(list, channel, wishes->export_name, err);
    for (unsigned i = 0; result == 0 && i < list->export_count; i++)
        result = look_at(list, &list->exports[i], channel, err);
    /* It is answered, or the server just closes: both are an end in order. */
    if (result == 0 && client_option_send(channel, NBD_OPT_ABORT, NULL, 0, NULL) == 0)
        (void)!client_option_receive(channel, NBD_OPT_ABORT, &answer, NULL);
    return result;
}

void client_list_free(struct client_list *list)
{
    for (unsigned i = 0; i < list->export_count; i++) {
        struct client_list_export *export = &list->exports[i];

        for (unsigned k = 0; k < export->context_count; k++)
            free(export->contexts[k]);
        free(export->contexts);
        free(export->wire_name);
        free(export->name);
        free(export->description);
        free(export->why_not);
    }
    free(list->exports);
    free(list->list_refused);
    *list = (struct client_list){ .export_count = 0 };
}
