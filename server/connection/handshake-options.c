#include "server/connection/handshake-options.h"

#include <string.h>

#include "server/audit/audit.h"
#include "server/connection/conversation.h"
#include "server/connection/handshake-contexts.h"
#include "server/connection/option-exports.h"
#include "server/export/export-set.h"
#include "server/base/log.h"
#include "server/base/tally.h"
#include "server/tls/tls.h"
#include "server/connection/worker.h"

#define BLOCK_PREFERRED_BYTES 4096u
#define NAME_PAYLOAD_BYTES_MAX 8192u     /* INFO, GO: a name and 2045 information requests */
#define CONTEXT_PAYLOAD_BYTES_MAX 32768u /* a name and 7 queries, all of the longest */

/* ---- TLS ---- */

static enum tls_mode tls_mode_here(const struct conversation *talk)
{
    return worker_tls_mode(talk->worker);
}

bool option_needs_tls(const struct conversation *talk, uint32_t option)
{
    bool local = talk->peer.address.ss_family == AF_UNIX;

    return tls_is_demanded(tls_mode_here(talk), local) && !talk->peer.encrypted &&
           option != NBD_OPT_STARTTLS && option != NBD_OPT_ABORT;
}

/* ---- EXPORT_NAME, ABORT, LIST, STARTTLS, STRUCTURED_REPLY ---- */

/* FUA is what the pipeline itself honours, with or without a FLUSH: nobody above makes it of writes
 * and flushes, and command_check() refuses it where it is not offered here. FAST_ZERO may be
 * offered even where it always answers ENOTSUP (proto.md). */
uint16_t handshake_transmission_flags(const struct export *ex, bool structured_replies)
{
    const struct limits *limits = &ex->limits;
    unsigned flags = NBD_FLAG_HAS_FLAGS;

    if (limits->ops & OP_BIT(REQUEST_FLUSH))
        flags |= NBD_FLAG_SEND_FLUSH;
    if (limits->fua)
        flags |= NBD_FLAG_SEND_FUA;
    if (limits->read_only)
        flags |= NBD_FLAG_READ_ONLY;
    if (!limits->read_only && limits->ops & OP_BIT(REQUEST_TRIM))
        flags |= NBD_FLAG_SEND_TRIM;
    if (!limits->read_only && limits->ops & OP_BIT(REQUEST_ZERO))
        flags |= NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_FAST_ZERO;
    if (limits->ops & OP_BIT(REQUEST_CACHE))
        flags |= NBD_FLAG_SEND_CACHE;
    if (limits->rotational)
        flags |= NBD_FLAG_ROTATIONAL;
    if (limits->multi_conn)
        flags |= NBD_FLAG_CAN_MULTI_CONN;
    if (structured_replies)
        flags |= NBD_FLAG_SEND_DF;
    return (uint16_t)flags;
}

/* Contexts belong to the export that they were set for (proto.md, SET_META_CONTEXT).  Those of its
 * storage belong to that: another export that has taken the name meanwhile has others. */
static uint32_t contexts_for(const struct negotiated *negotiated, const struct export *export)
{
    if (negotiated->context_export == NULL || strcmp(negotiated->context_export, export->name) != 0)
        return 0;
    return negotiated->context_export_id == export->id ? negotiated->contexts
                                                       : negotiated->contexts & META_CONTEXT_BIT(0);
}

static uint16_t flags_for(const struct option_exchange *ex, const struct export *export)
{
    const struct conversation *talk = ex->talk;
    unsigned flags = handshake_transmission_flags(export, talk->negotiated.structured_replies);

    if (talk->worker->no_multi_conn)
        flags &= ~(unsigned)NBD_FLAG_CAN_MULTI_CONN;
    if (talk->negotiated.extended_headers && contexts_for(&talk->negotiated, export) != 0)
        flags |= NBD_FLAG_BLOCK_STATUS_PAYLOAD;
    return (uint16_t)flags;
}

/* A place among those who are attached; NULL: it has one, else why there is none for it. */
static const char *take_place(struct option_exchange *ex, const struct export *export)
{
    struct conversation *talk = ex->talk;

    if (!audit_can_record(AUDIT_CLIENTS)) {
        tally_add(TALLY_REJECTED_AUDIT);
        conversation_event_of(talk, "client.denied", export->name, "it could not be recorded");
        return "who attaches an export is recorded, and that can't be done at the moment: the log "
               "of the server says why";
    }
    return places_attach(talk->worker->places, &talk->place) == PLACE_GRANTED
               ? NULL
               : places_sentence(PLACE_NONE);
}

static enum option_outcome enter_transmission(struct option_exchange *ex, struct export *export)
{
    struct negotiated *negotiated = &ex->talk->negotiated;

    negotiated->contexts = contexts_for(negotiated, export);
    ex->talk->export = export;
    return OPTION_TRANSMISSION;
}

/* The one option without error replies: who can't be served is dropped. */
static enum option_outcome option_export_name(struct option_exchange *ex)
{
    const struct option_name name = { (const char *)ex->payload.at, ex->payload.left_bytes };
    struct export *export = NULL;

    if (ex->talk->negotiated.extended_headers) {
        option_log_refusal(ex, "extended headers were agreed on, and they need GO");
        return OPTION_DROP;
    }
    if (nbd_string_is_valid(ex->payload.at, name.bytes))
        export = option_find_export(ex, &name);
    if (export != NULL && option_export_is_hidden(ex, export))
        export = NULL;
    if (export == NULL) {
        char told[OPTION_SENTENCE_BYTES];

        option_say_unknown(ex, &name, told);
        option_log_unknown(ex, &name, told);
        return OPTION_DROP;
    }
    if (!export_is_open(export)) {
        char told[OPTION_SENTENCE_BYTES];

        option_say_missing(export, told);
        option_log_refusal(ex, told);
        return OPTION_DROP;
    }
    const char *why = take_place(ex, export);
    if (why != NULL) {
        option_log_refusal(ex, why);
        return OPTION_DROP;
    }
    option_reply_u64(ex, limits_size_bytes(&export->limits));
    option_reply_u16(ex, flags_for(ex, export));
    if (!ex->no_zeroes) {
        static const uint8_t zeroes[NBD_EXPORT_NAME_ZEROES_BYTES];

        memcpy(option_reply_room(ex, sizeof zeroes), zeroes, sizeof zeroes);
    }
    return enter_transmission(ex, export);
}

static enum option_outcome option_abort(struct option_exchange *ex)
{
    option_reply_ack(ex);
    return OPTION_CLOSE;
}

static void reply_server(struct option_exchange *ex, const struct export *export)
{
    const char *name = export->name, *description = export->description;
    size_t name_bytes = strlen(name);
    size_t description_bytes = description != NULL ? strlen(description) : 0;

    option_reply_header(ex, NBD_REP_SERVER, 4 + name_bytes + description_bytes);
    option_reply_u32(ex, (uint32_t)name_bytes);
    option_reply_text(ex, name, name_bytes);
    if (description_bytes > 0)
        option_reply_text(ex, description, description_bytes);
}

static void log_hidden(const struct option_exchange *ex)
{
    const struct export_set *set = ex->talk->worker->exports;
    size_t shown;

    if (!log_enabled(LOG_NOTICE))
        return;
    shown = export_set_count(set, &ex->talk->peer);
    if (shown < set->count)
        conversation_log(ex->talk, LOG_NOTICE,
                         "LIST leaves out %zu of %zu exports: no --allow rule matches",
                         set->count - shown, set->count);
}

/* One export at a time as long as the longest one fits, so that the list of ten thousand needs
 * no more memory than that of one. */
static enum option_outcome option_list(struct option_exchange *ex)
{
    const size_t longest = NBD_OPTION_REPLY_BYTES + 4 + 2 * NBD_STRING_BYTES_MAX;
    const struct export_set *set = ex->talk->worker->exports;
    const struct peer *peer = &ex->talk->peer;

    if (ex->list_next > 0 && ex->list_version != set->version)
        ex->list_next = export_set_behind(set, ex->list_last);
    ex->list_version = set->version;
    for (; ex->list_next < set->count; ex->list_next++) {
        const struct export *export = set->exports[ex->list_next];

        if (!export_set_shows(export, peer) || option_export_is_hidden(ex, export) ||
            !export_is_open(export))
            continue;
        if (sizeof ex->reply - ex->reply_bytes < longest + NBD_OPTION_REPLY_BYTES)
            return OPTION_MORE;
        reply_server(ex, export);
        ex->list_last = export->id;
    }
    log_hidden(ex);
    return option_reply_ack(ex);
}

/* Without TLS (proto.md, "TLS", mode NOTLS) no other reply may mention it.  What stands behind this
 * option was sent before the client had the answer: somebody on the way may have put it there for
 * the encrypted conversation, so it ends the connection. */
static enum option_outcome option_starttls(struct option_exchange *ex)
{
    struct conversation *talk = ex->talk;

    if (tls_mode_here(talk) == TLS_OFF) {
        option_refuse(ex, NBD_REP_ERR_UNSUP, "this server does not offer TLS");
        return OPTION_NEXT;
    }
    if (talk->peer.encrypted)
        return option_refuse_invalid(ex, "this connection is under TLS already");
    if (talk->transport->ops->has_unread(talk->transport)) {
        conversation_log(talk, LOG_WARNING,
                         "dropped: bytes came behind STARTTLS, before it was answered");
        return OPTION_DROP;
    }
    option_reply_ack(ex);
    return OPTION_TLS;
}

static enum option_outcome option_structured_reply(struct option_exchange *ex)
{
    if (ex->talk->negotiated.extended_headers) {
        option_refuse(ex, NBD_REP_ERR_EXT_HEADER_REQD,
                      "extended headers were agreed on, which go before structured replies");
        return OPTION_NEXT;
    }
    ex->talk->negotiated.structured_replies = true;
    return option_reply_ack(ex);
}

/* They bring all that structured replies do. */
static enum option_outcome option_extended_headers(struct option_exchange *ex)
{
    struct negotiated *negotiated = &ex->talk->negotiated;

    if (ex->talk->worker->no_extended_headers) {
        option_refuse(ex, NBD_REP_ERR_UNSUP, "this server is told not to use extended headers");
        return OPTION_NEXT;
    }
    if (negotiated->extended_headers)
        return option_refuse_invalid(ex, "extended headers were agreed on already");
    negotiated->extended_headers = negotiated->structured_replies = true;
    return option_reply_ack(ex);
}

/* ---- INFO, GO ---- */

static void reply_info_export(struct option_exchange *ex, const struct export *export)
{
    option_reply_header(ex, NBD_REP_INFO, 12);
    option_reply_u16(ex, NBD_INFO_EXPORT);
    option_reply_u64(ex, limits_size_bytes(&export->limits));
    option_reply_u16(ex, flags_for(ex, export));
}

static void reply_info_text(struct option_exchange *ex, uint16_t info, const char *text)
{
    size_t bytes = strlen(text);

    option_reply_header(ex, NBD_REP_INFO, 2 + bytes);
    option_reply_u16(ex, info);
    option_reply_text(ex, text, bytes);
}

static void reply_info_block_size(struct option_exchange *ex, const struct export *export)
{
    const struct limits *limits = &export->limits;
    const struct block_sizes *told = &export->block_sizes;
    uint32_t min = told->min_bytes > 0 ? told->min_bytes : limits->block_min_bytes;
    uint32_t preferred = told->preferred_bytes;

    if (preferred == 0 && limits->block_preferred_bytes > BLOCK_PREFERRED_BYTES)
        preferred = limits->block_preferred_bytes;
    else if (preferred == 0)
        preferred = BLOCK_PREFERRED_BYTES;
    if (preferred < min)
        preferred = min;
    option_reply_header(ex, NBD_REP_INFO, 14);
    option_reply_u16(ex, NBD_INFO_BLOCK_SIZE);
    option_reply_u32(ex, min);
    option_reply_u32(ex, preferred);
    /* Never below the preferred one: layer.h. */
    option_reply_u32(ex, told->max_bytes > 0 ? told->max_bytes : NBD_PAYLOAD_BYTES_MAX);
}

/* Each kind once, however often it was asked for.  EXPORT and BLOCK_SIZE always. */
static void reply_infos(struct option_exchange *ex, const struct export *export, uint32_t asked)
{
    const char *description = export->description;

    reply_info_export(ex, export);
    if (asked & 1u << NBD_INFO_NAME)
        reply_info_text(ex, NBD_INFO_NAME, export->name);
    if (asked & 1u << NBD_INFO_DESCRIPTION && description != NULL)
        reply_info_text(ex, NBD_INFO_DESCRIPTION, description);
    reply_info_block_size(ex, export);
    option_reply_ack(ex);
}

/* Length and text of the name, then a counted list of information requests: nothing else.
 * Requests that nobody knows are ignored. */
static bool take_info_payload(struct nbd_cursor *cursor, struct option_name *name, uint32_t *asked)
{
    uint16_t count, info;

    if (!option_take_name(cursor, name) || !nbd_take_u16(cursor, &count))
        return false;
    *asked = 0;
    while (count-- > 0) {
        if (!nbd_take_u16(cursor, &info))
            return false;
        if (info < 32)
            *asked |= 1u << info;
    }
    return cursor->left_bytes == 0;
}

static enum option_outcome option_info(struct option_exchange *ex)
{
    struct export *export;
    struct option_name name;
    uint32_t asked;

    if (!take_info_payload(&ex->payload, &name, &asked))
        return option_refuse_invalid(ex, "the export name or the list of requests is malformed");
    export = option_find_export(ex, &name);
    if (export == NULL)
        return option_refuse_unknown(ex, &name);
    if (option_export_is_hidden(ex, export)) {
        option_refuse(ex, NBD_REP_ERR_TLS_REQD, "this export is served under TLS only");
        return OPTION_NEXT;
    }
    if (!export_is_open(export))
        return option_refuse_missing(ex, export);
    const char *why = ex->option == NBD_OPT_GO ? take_place(ex, export) : NULL;
    if (why != NULL) {
        option_refuse(ex, NBD_REP_ERR_POLICY, "%s", why);
        return OPTION_NEXT;
    }
    reply_infos(ex, export, asked);
    return ex->option == NBD_OPT_GO ? enter_transmission(ex, export) : OPTION_NEXT;
}

/* ---- the table ---- */

static const struct option_handler handlers[] = {
    { NBD_OPT_EXPORT_NAME, NBD_STRING_BYTES_MAX, false, option_export_name },
    { NBD_OPT_ABORT, 0, true, option_abort },
    { NBD_OPT_LIST, 0, false, option_list },
    { NBD_OPT_STARTTLS, 0, false, option_starttls },
    { NBD_OPT_INFO, NAME_PAYLOAD_BYTES_MAX, false, option_info },
    { NBD_OPT_GO, NAME_PAYLOAD_BYTES_MAX, false, option_info },
    { NBD_OPT_STRUCTURED_REPLY, 0, false, option_structured_reply },
    { NBD_OPT_EXTENDED_HEADERS, 0, false, option_extended_headers },
    { NBD_OPT_LIST_META_CONTEXT, CONTEXT_PAYLOAD_BYTES_MAX, false, handshake_contexts },
    { NBD_OPT_SET_META_CONTEXT, CONTEXT_PAYLOAD_BYTES_MAX, false, handshake_contexts },
};

const struct option_handler *option_handler_find(uint32_t option)
{
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++) {
        if (handlers[i].option == option)
            return &handlers[i];
    }
    return NULL;
}
