#include "server/connection/handshake-contexts.h"

#include <stdlib.h>
#include <string.h>

#include "server/connection/conversation.h"
#include "server/connection/option-exports.h"
#include "server/export/export.h"

#define CONTEXT_NAMESPACE "base:"
#define CONTEXT_NAME CONTEXT_NAMESPACE "allocation"

static bool name_equals(const struct option_name *name, const char *text)
{
    return name->bytes == strlen(text) && !memcmp(name->text, text, name->bytes);
}

/* Unknown namespaces and unknown names in a known one match nothing, which is no error.  "base:"
 * is a wildcard for LIST only (proto.md, "The base: metadata namespace"). */
static bool query_matches(const struct option_exchange *ex, const struct option_name *query)
{
    if (name_equals(query, CONTEXT_NAME))
        return true;
    return ex->option == NBD_OPT_LIST_META_CONTEXT && name_equals(query, CONTEXT_NAMESPACE);
}

/* What was asked for of what there is. */
struct context_queries {
    bool base_allocation;
    bool uuid; /* for LIST only: it describes no part of the disk, so nobody can set it */
};

/* Name of the export, then a counted list of queries: nothing else. */
static bool take_queries(struct option_exchange *ex, struct option_name *name,
                         struct context_queries *asked)
{
    bool list = ex->option == NBD_OPT_LIST_META_CONTEXT;
    struct option_name query;
    uint32_t count;

    if (!option_take_name(&ex->payload, name) || !nbd_take_u32(&ex->payload, &count))
        return false;
    *asked = (struct context_queries){ .base_allocation = count == 0 && list };
    while (count-- > 0) {
        if (!option_take_name(&ex->payload, &query))
            return false;
        asked->base_allocation |= query_matches(ex, &query);
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

static bool select_base_allocation(struct negotiated *negotiated, const struct export *export)
{
    negotiated->context_export = strdup(export->name);
    negotiated->base_allocation = negotiated->context_export != NULL;
    return negotiated->base_allocation;
}

/* What SET_META_CONTEXT had selected is gone even when it fails (proto.md): handshake.c has
 * seen to that before it read the payload. */
enum option_outcome handshake_contexts(struct option_exchange *ex)
{
    struct negotiated *negotiated = &ex->talk->negotiated;
    bool set = ex->option == NBD_OPT_SET_META_CONTEXT;
    struct context_queries asked;
    struct export *export;
    struct option_name name;

    if (!negotiated->structured_replies)
        return option_refuse_invalid(ex, "structured replies must be negotiated first");
    if (!take_queries(ex, &name, &asked))
        return option_refuse_invalid(ex, "the export name or the list of queries is malformed");
    export = option_find_export(ex, &name);
    if (export == NULL ||
        option_export_is_hidden(ex, export)) /* only INFO and GO may tell of TLS (proto.md) */
        return option_refuse_unknown(ex, &name);
    if (!export_is_open(export))
        return option_refuse_missing(ex, export);
    if (asked.base_allocation) {
        if (set && !select_base_allocation(negotiated, export))
            return OPTION_DROP;
        reply_context(ex, set ? NBD_CONTEXT_BASE_ALLOCATION_ID : 0, CONTEXT_NAME, "");
    }
    if (asked.uuid && export->luks.uuid[0] != '\0')
        reply_context(ex, 0, NBD_CONTEXT_UUID, export->luks.uuid);
    return option_reply_ack(ex);
}
