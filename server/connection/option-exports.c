#include "server/connection/option-exports.h"

#include <stdio.h>
#include <string.h>

#include "server/base/log-ids.h"
#include "server/base/log.h"
#include "server/base/tally.h"
#include "server/connection/conversation.h"
#include "server/connection/worker.h"
#include "server/export/export-set.h"

#define NAME_SHOWN_BYTES 100u

/* In mode SELECTIVETLS: this one is only for those who use TLS. */
bool option_export_is_hidden(const struct option_exchange *ex, const struct export *export)
{
    return export->tls_only && !ex->talk->peer.encrypted;
}

/* The client may not attach this one. */
static void log_denial(const struct option_exchange *ex, const struct export *export)
{
    struct log_about about = conversation_about(ex->talk, LOG_ID_CLIENT_DENIED);

    about.export = export->name;
    log_write_about(LOG_NOTICE, about,
                    "%s refused: export '%s' is not allowed to it: no --allow rule matches",
                    nbd_option_name(ex->option), about.export);
    conversation_event_of(ex->talk, "client.denied", about.export, "no --allow rule matches");
}

/* Among those that the client may attach: the others are not there for it. */
struct export *option_find_export(struct option_exchange *ex, const struct option_name *name)
{
    const struct conversation *talk = ex->talk;

    return export_set_find(talk->worker->exports, &talk->peer, name->text, name->bytes);
}

/* What the client is told: the same for what is not there and for what it may not attach.  Another
 * name helps only where there is one for it. */
void option_say_unknown(const struct option_exchange *ex, const struct option_name *name,
                        char text[OPTION_SENTENCE_BYTES])
{
    const struct conversation *talk = ex->talk;
    size_t shown = option_valid_prefix_bytes(name->text, name->bytes, NAME_SHOWN_BYTES);

    if (name->bytes == 0 && export_set_count(talk->worker->exports, &talk->peer) == 0)
        snprintf(text, OPTION_SENTENCE_BYTES,
                 "there is no export that this client may attach: who runs "
                 "the server decides that");
    else if (name->bytes == 0)
        snprintf(text, OPTION_SENTENCE_BYTES, "there is no default export: ask for one by name");
    else
        snprintf(text, OPTION_SENTENCE_BYTES, "there is no export '%.*s%s'", (int)shown, name->text,
                 shown < name->bytes ? "..." : "");
}

/* The operator is told the truth: `told`, or that the export is there. */
void option_log_unknown(const struct option_exchange *ex, const struct option_name *name,
                        const char *told)
{
    const struct export *hidden =
        export_set_named(ex->talk->worker->exports, name->text, name->bytes);

    tally_add(hidden != NULL ? TALLY_REJECTED_ACCESS : TALLY_REJECTED_NAME);
    if (hidden != NULL)
        log_denial(ex, hidden);
    else
        option_log_refusal(ex, told);
}

enum option_outcome option_refuse_unknown(struct option_exchange *ex,
                                          const struct option_name *name)
{
    char told[OPTION_SENTENCE_BYTES];

    option_say_unknown(ex, name, told);
    option_reply_error(ex, NBD_REP_ERR_UNKNOWN, told);
    option_log_unknown(ex, name, told);
    return OPTION_NEXT;
}

void option_say_missing(const struct export *export, char text[OPTION_SENTENCE_BYTES])
{
    size_t shown = option_valid_prefix_bytes(export->name, strlen(export->name), NAME_SHOWN_BYTES);

    snprintf(text, OPTION_SENTENCE_BYTES,
             "export '%.*s' is not open at the moment: the log of the "
             "server says why",
             (int)shown, export->name);
}

/* Found, but not open. */
enum option_outcome option_refuse_missing(struct option_exchange *ex, const struct export *export)
{
    char told[OPTION_SENTENCE_BYTES];

    option_say_missing(export, told);
    option_refuse(ex, NBD_REP_ERR_UNKNOWN, "%s", told);
    return OPTION_NEXT;
}

/* Length, then text. */
bool option_take_name(struct nbd_cursor *cursor, struct option_name *out)
{
    const uint8_t *text;
    uint32_t bytes;

    if (!nbd_take_u32(cursor, &bytes) || !nbd_take_bytes(cursor, bytes, &text))
        return false;
    *out = (struct option_name){ (const char *)text, bytes };
    return nbd_string_is_valid(text, bytes);
}
