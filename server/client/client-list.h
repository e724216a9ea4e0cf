/* Which exports a server has, and what it tells of them before one is attached: options LIST, INFO
 * and LIST_META_CONTEXT.
 *
 * The server is a stranger: what it says is bounded in exports and bytes here, and in time by the
 * channel. */
#ifndef NBDCRYPT_CLIENT_LIST_H
#define NBDCRYPT_CLIENT_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "server/client/channel.h"
#include "server/client/client-handshake.h"

/* Texts are clean UTF-8 (utf8.h), whatever the server has sent. */
struct client_list_export {
    char *wire_name;         /* as the server says it, to be asked for; NULL: it holds a NUL */
    char *name;              /* the same, clean */
    char *description;       /* NULL: none */
    char *why_not;           /* why there is no `info`: a part of a sentence; NULL: there is some */
    struct export_info info; /* without what is agreed on to attach it */
    char **contexts;
    unsigned context_count;
};

/* Zeroed at first. */
struct client_list {
    bool structured_replies, extended_headers;
    char *list_refused; /* why the server does not say what it has; NULL: it does */
    struct client_list_export *exports;
    unsigned export_count, export_room;
    size_t kept_bytes;
};

/* The whole conversation on a connected socket, which is at its end then.  Of wishes the export's
 * name, if it is not "", is the only one that is asked for; start_tls is as there.  Where the
 * server does not list, the default export is asked for.  -errno with a sentence;
 * client_list_free() is due in any case. */
NODISCARD int client_list_read(struct client_list *list, struct channel *channel,
                               const struct client_wishes *wishes, struct error *err);
void client_list_free(struct client_list *list);

#endif
