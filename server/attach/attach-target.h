/* What is attached: an export of the server of this machine, or an NBD URI. */
#ifndef NBDCRYPT_ATTACH_TARGET_H
#define NBDCRYPT_ATTACH_TARGET_H

#include <stdbool.h>

#include "server/base/error.h"
#include "server/nbd/nbd-uri.h"

struct attach_target {
    bool local;              /* by the control socket */
    struct nbd_uri uri;      /* when it is not */
    const char *export_name; /* in `uri`, or the caller's text */
    const char *control;     /* the control socket; NULL: the first that answers */
    bool tls_proxy;          /* TLS is done by this process, not by the kernel */
};

/* `text`: a URI where it has "://", otherwise the name of an export; must stay.  -EINVAL, -ENOMEM
 * with a sentence; nothing has to be freed then. */
NODISCARD int attach_target_parse(struct attach_target *out, const char *text, struct error *err);
void attach_target_free(struct attach_target *target);

/* Names and texts that stand in files of ours, a line each: no control characters, and not too
 * long.  -EINVAL with a sentence. */
#define ATTACH_TEXT_BYTES_MAX 2048u
NODISCARD int attach_target_check_text(const char *what, const char *text, struct error *err);

/* Paths are of use as long as the disk is attached, and the process does not stay in the folder
 * that they were written in.  NULL: none is named.  -EINVAL with a sentence. */
NODISCARD int attach_target_check_path(const char *what, const char *path, struct error *err);

#endif
