/* The export that an option of the handshake names. */
#ifndef NBDCRYPT_OPTION_EXPORTS_H
#define NBDCRYPT_OPTION_EXPORTS_H

#include "server/connection/option-replies.h"

struct export;

/* A string that a client has sent. */
struct option_name {
    const char *text; /* not NUL-terminated */
    size_t bytes;
};

/* Length, then text.  False: it is malformed. */
bool option_take_name(struct nbd_cursor *cursor, struct option_name *out);
/* Among those that the client may attach: the others are not there for it. */
struct export *option_find_export(struct option_exchange *ex, const struct option_name *name);
/* In mode SELECTIVETLS: this one is only for those who use TLS. */
bool option_export_is_hidden(const struct option_exchange *ex, const struct export *export);

/* Of one that was not found: what the client is told, what the operator is, and both of it:
 * OPTION_NEXT. */
void option_say_unknown(const struct option_exchange *ex, const struct option_name *name,
                        char text[OPTION_SENTENCE_BYTES]);
void option_log_unknown(const struct option_exchange *ex, const struct option_name *name,
                        const char *told);
enum option_outcome option_refuse_unknown(struct option_exchange *ex,
                                          const struct option_name *name);
/* The same of one that is not open. */
void option_say_missing(const struct export *export, char text[OPTION_SENTENCE_BYTES]);
enum option_outcome option_refuse_missing(struct option_exchange *ex, const struct export *export);

#endif
