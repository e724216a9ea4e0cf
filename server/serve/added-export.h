/* An export that came by a call of the control socket, and what it was asked for as: these stay as
 * long as it does. */
#ifndef NBDCRYPT_ADDED_EXPORT_H
#define NBDCRYPT_ADDED_EXPORT_H

#include <json-c/json.h>

#include "server/export/export.h"

struct added {
    struct export_settings settings;
    struct export_settings *common; /* what is said of all; a reload takes nothing of it away */
    struct param_list inherited;    /* rules of the one that it replaces; each is owned */
    bool replaces;
    bool inherits_tls_only;
    bool image_was_lent;  /* as a descriptor: nobody else can say which image that is */
    int key_fd, image_fd; /* -1: there is none, or it is not needed any more */
    char *call;           /* what was asked for, to know it again */
    size_t count;         /* of texts */
    char *texts[];        /* what the settings point to */
};

/* From the parameters of AddExport or ReplaceExport, without their options; `common`, which is
 * copied, is what it goes on from.  NULL: no memory. */
struct added *added_create(struct json_object *parameters, const struct export_settings *common);
/* What exports_addition frees. */
void added_free(struct export_settings *settings);
/* It has been opened. */
void added_close_files(struct added *added);
/* A copy that stays; one for each option and each rule of the call.  NULL: no memory. */
const char *added_keep(struct added *added, const char *text);
/* It takes the place of `ex`, with its lock: who may attach stays as it was where the call says
 * nothing else of it.  -ENOMEM. */
NODISCARD int added_inherit(struct added *added, const struct export *ex);
/* Nobody has changed these rules since then; with the lock. */
bool added_inherits_still(const struct added *added, const struct export *ex);
/* `settings` of a struct added, as the same export would be in a configuration; nothing of it is
 * owned.  A key that came by a descriptor is not there any more, and an image that did has no name
 * there. */
struct export_settings added_as_configured(const struct export_settings *settings);
/* Who may attach it. */
NODISCARD int added_set_access(struct added *added, struct error *err);

#endif
