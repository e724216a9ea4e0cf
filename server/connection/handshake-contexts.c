#include "server/connection/handshake-contexts.h"

#include <stdlib.h>
#include <string.h>

#include "server/connection/conversation.h"
#include "server/connection/option-exports.h"
#include "server/export/export.h"

#define BASE_ALLOCATION "base:allocation"

static bool name_equals(const struct option_name *name, const char *text)
{
    return name->bytes == strlen(text) && !memcmp(name->text, text, name->bytes);
}

_Static_assert(OPTION_REPLIES_BYTES_MAX >= META_CONTEXTS_NAMES_BYTES_MAX +
                                               META_CONTEXTS_MAX * (NBD_OPTION_REPLY_BYTES + 4) +
                                               sizeof BASE_ALLOCATION + 1024,
               "all contexts, the UUID and what ends them are one answer");

/* What was asked for of what there is. */
struct context_queries {
    uint32_t contexts; /* a bit for each */
    bool uuid;         /* for LIST only: it describes no part of the disk, so nobody can set it */
};

/* A query of LIST that ends with a colon is about all that begin so: "base:", "qemu:", and
 * "qemu:dirty-bitmap:" (proto.md, "The base: metadata namespace"; QEMU docs/interop/nbd.txt). */
static bool matches(const struct option_name *query, const char *context, size_t context_bytes,
                    bool list)
{
    bool whole = query->bytes == context_bytes;
    bool begins = list && query->bytes > 1 && query->bytes < context_bytes &&
                  query->text[query->bytes - 1] == ':';

    return (whole || begins) && !memcmp(query->text, context, query->bytes);
}

/* Unknown namespaces and unknown names in a known one match nothing, which is no error. */
static uint32_t matching(const struct option_name *query, const struct meta_contexts *contexts,
                         bool list)
{
    uint32_t result = 0;

    if (matches(query, BASE_ALLOCATION, strlen(BASE_ALLOCATION), list))
        return META_CONTEXT_BIT(0);
    for (unsigned i = 0; contexts != NULL && i < contexts->count; i++)
        if (matches(query, contexts->names[i], contexts->name_bytes[i], list))
            result |= META_CONTEXT_BIT(i + 1);
    return result;
}

/* A counted list of queries, and nothing else behind it.  `contexts`: those of an export besides
 * base:allocation; NULL: none. */
static bool take_queries(struct context_queries *asked, struct option_exchange *ex,
                         const struct meta_contexts *contexts)
{
    bool list = ex->option == NBD_OPT_LIST_META_CONTEXT;
    struct option_name query;
    uint32_t count;

    if (!nbd_take_u32(&ex->payload, &count))
        return false;
    *asked = (struct context_queries){ 0 };
    if (count == 0 && list)
        asked->contexts = meta_contexts_mask(contexts);
    while (count-- > 0) {
        if (!option_take_name(&ex->payload, &query))
            return false;
        asked->contexts |= matching(&query, contexts, list);
        asked->uuid |= list && name_equals(&query, NBD_CONTEXT_UUID);
    }
    return ex->payload.left_bytes == 0;
}

static void reply_context(struct option_exchange *ex, uint32_t id, const char *name,
                          const char *value)
{
    option_reply_header(ex, NBD_REP_META_CONTEXT, 4 + strlen(name) + strlen(value));
    option_reply_u32(ex, id);
    option_reply_text(ex, name, strlen(name));
    option_reply_text(ex, value, strlen(value));
}

static void reply_contexts(struct option_exchange *ex, uint32_t mask,
                           const struct meta_contexts *contexts)
{
    bool set = ex->option == NBD_OPT_SET_META_CONTEXT;

    for (unsigned i = 0; i < META_CONTEXTS_MAX; i++)
        if (mask & META_CONTEXT_BIT(i))
            reply_context(ex, set ? NBD_CONTEXT_BASE_ALLOCATION_ID + i : 0,
                          i == 0 ? BASE_ALLOCATION : contexts->names[i - 1], "");
}

static bool select_contexts(struct negotiated *negotiated, uint32_t contexts,
                            const struct export *export)
{
    negotiated->context_export = strdup(export->name);
    if (negotiated->context_export == NULL)
        return false;
    negotiated->context_export_id = export->id;
    negotiated->contexts = contexts;
    return true;
}

/* The storage of an export is open, so its contexts are known. */
static enum option_outcome answer(struct option_exchange *ex, const struct export *export,
                                  const struct context_queries *asked)
{
    if (asked->contexts != 0 && ex->option == NBD_OPT_SET_META_CONTEXT &&
        !select_contexts(&ex->talk->negotiated, asked->contexts, export))
        return OPTION_DROP;
    reply_contexts(ex, asked->contexts, export->contexts);
    if (asked->uuid && export->luks.uuid[0] != '\0')
        reply_context(ex, 0, NBD_CONTEXT_UUID, export->luks.uuid);
    return option_reply_ack(ex);
}

/* What SET_META_CONTEXT had selected is gone even when it fails (proto.md): handshake.c has
 * seen to that before it read the payload. */
enum option_outcome handshake_contexts(struct option_exchange *ex)
{
    static const char malformed[] = "the export name or the list of queries is malformed";
    struct context_queries asked;
    struct option_name name;

    if (!ex->talk->negotiated.structured_replies)
        return option_refuse_invalid(ex, "structured replies must be negotiated first");
    if (!option_take_name(&ex->payload, &name))
        return option_refuse_invalid(ex, malformed);
    const struct export *export = option_find_export(ex, &name);
    /* Only INFO and GO may tell of TLS (proto.md). */
    bool unknown = export == NULL || option_export_is_hidden(ex, export);
    bool open = !unknown && export_is_open(export);
    if (!take_queries(&asked, ex, open ? export->contexts : NULL))
        return option_refuse_invalid(ex, malformed);
    if (unknown)
        return option_refuse_unknown(ex, &name);
    return open ? answer(ex, export, &asked) : option_refuse_missing(ex, export);
}
