#include "server/client/client-contexts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/client/client-options.h"

/* More than that nobody has: a qcow2 image has at most 65,535 dirty bitmaps. */
#define LISTED_MAX (1u << 17)
#define SET_REPLIES_MAX 64u /* a server that answers so many queries with more is broken */

static const char base_allocation[] = "base:allocation";

/* ---- LIST_META_CONTEXT ---- */

static int take_listed(struct meta_contexts *out, unsigned *left_out,
                       const struct option_answer *answer, struct error *err)
{
    enum meta_contexts_result result = META_CONTEXTS_BAD;

    if (answer->length_bytes >= 4 && answer->kept_bytes == answer->length_bytes)
        result = meta_contexts_add(out, (const char *)answer->data + 4, answer->kept_bytes - 4);
    if (result == META_CONTEXTS_MEMORY)
        return error_no_memory(err, "for the metadata contexts of an export");
    *left_out += result == META_CONTEXTS_BAD || result == META_CONTEXTS_FULL;
    return 0;
}

int client_contexts_list(struct meta_contexts *out, unsigned *left_out, struct channel *channel,
                         const char *export_name, struct error *err)
{
    struct option_answer answer;
    int result = client_option_ask_contexts(channel, NBD_OPT_LIST_META_CONTEXT, export_name,
                                            &(struct client_queries){ .count = 0 }, err);

    *left_out = 0;
    for (unsigned i = 0; result == 0 && i < LISTED_MAX; i++) {
        result = client_option_receive(channel, NBD_OPT_LIST_META_CONTEXT, &answer, err);
        if (result == 0 && answer.type != NBD_REP_META_CONTEXT)
            return 0;
        if (result == 0)
            result = take_listed(out, left_out, &answer, err);
    }
    return result != 0
               ? result
               : error_set(err, -EPROTO, "the server's answer to LIST_META_CONTEXT does not end");
}

/* ---- SET_META_CONTEXT ---- */

/* One chunk of a reply would be about both. */
static bool is_taken(const struct meta_context_ids *ids, unsigned number, uint32_t id)
{
    for (unsigned i = 0; i < META_CONTEXTS_MAX; i++)
        if (i != number && ids->present & META_CONTEXT_BIT(i) && ids->id[i] == id)
            return true;
    return false;
}

/* What has been selected so far. */
struct selection {
    struct meta_context_ids ids;
    const char *refusal; /* why it can't be used; NULL: it can */
};

/* 32 bits number, and the name; of what nobody asked for it says nothing. */
static void take_selected(struct selection *out, const struct meta_contexts *contexts,
                          const struct option_answer *answer)
{
    const char *name = (const char *)answer->data + 4;

    if (answer->length_bytes < 4 || answer->kept_bytes != answer->length_bytes)
        return;
    size_t name_bytes = answer->kept_bytes - 4;
    unsigned number = meta_contexts_find(contexts, name, name_bytes);
    bool base =
        name_bytes == strlen(base_allocation) && memcmp(name, base_allocation, name_bytes) == 0;
    if (number == 0 && !base)
        return;
    uint32_t id = nbd_get_u32(answer->data);
    if (is_taken(&out->ids, number, id))
        out->refusal = "it gives the same number to two of them";
    out->ids.present |= META_CONTEXT_BIT(number);
    out->ids.id[number] = id;
}

static int take_all_selected(struct selection *out, struct channel *channel,
                             const struct meta_contexts *contexts, struct error *err)
{
    struct option_answer answer;

    for (unsigned i = 0; i < SET_REPLIES_MAX; i++) {
        int result = client_option_receive(channel, NBD_OPT_SET_META_CONTEXT, &answer, err);

        if (result != 0)
            return result;
        if (answer.type != NBD_REP_META_CONTEXT) {
            if (answer.type != NBD_REP_ACK)
                out->refusal = "it answers with an error when it is asked for all of them";
            return 0;
        }
        take_selected(out, contexts, &answer);
    }
    return error_set(err, -EPROTO, "the server's answer to SET_META_CONTEXT does not end");
}

/* The last one that is asked for holds. */
static int select_contexts(struct selection *out, struct channel *channel, const char *export_name,
                           const struct meta_contexts *contexts, struct error *err)
{
    struct client_queries queries = { .texts = { base_allocation }, .count = 1 };

    *out = (struct selection){ .refusal = NULL };
    for (unsigned i = 0; contexts != NULL && i < contexts->count; i++)
        queries.texts[queries.count++] = contexts->names[i];
    int result =
        client_option_ask_contexts(channel, NBD_OPT_SET_META_CONTEXT, export_name, &queries, err);
    if (result == 0)
        result = take_all_selected(out, channel, contexts, err);
    if (out->refusal != NULL)
        out->ids.present = 0;
    return result;
}

int client_contexts_set(struct meta_context_ids *out, const char **refusal, struct channel *channel,
                        const char *export_name, const struct meta_contexts *contexts,
                        struct error *err)
{
    struct selection selection;
    int result = select_contexts(&selection, channel, export_name, contexts, err);
    bool refused = result == 0 && selection.refusal != NULL;

    *refusal = NULL;
    if (refused && contexts != NULL && contexts->count > 0) {
        *refusal = selection.refusal;
        result = select_contexts(&selection, channel, export_name, NULL, err);
    }
    *out = selection.ids;
    return result;
}
