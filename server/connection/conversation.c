#include "server/connection/conversation.h"

#include "server/board/board-layout.h"
#include "server/export/export.h"

struct log_about conversation_about(const struct conversation *talk, const char *id)
{
    return LOG_ABOUT(.id = id, .who = talk->peer.text, .identity = talk->peer.identity,
                     .client = talk->row != NULL ? talk->row->id : 0,
                     .export = talk->export != NULL ? talk->export->name : NULL);
}

void conversation_event_of(const struct conversation *talk, const char *type, const char *export,
                           const char *reason)
{
    const struct peer *peer = &talk->peer;

    EVENT(.type = type, .export = export, .peer = peer->text, .reason = reason,
          .identity = peer->identity, .client = talk->row != NULL ? talk->row->id : 0,
          .local = peer->address.ss_family == AF_UNIX, .uid = peer->uid,
          .pid = (uint32_t)peer->pid);
}

void conversation_event(const struct conversation *talk, const char *type, const char *reason)
{
    conversation_event_of(talk, type, talk->export != NULL ? talk->export->name : NULL, reason);
}
