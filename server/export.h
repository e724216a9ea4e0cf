/* What clients attach: a name and the pipeline behind it.
 *
 * Exports are opened before the first client is accepted (the key is derived once, here) and
 * do not change afterwards: workers read them without locks. */
#ifndef NBDCRYPT_EXPORT_H
#define NBDCRYPT_EXPORT_H

#include "server/demand-params.h"
#include "server/key-source.h"
#include "server/layer.h"
#include "server/params.h"

struct access;
struct range_lock;
struct worker;

/* What the user asked for; strings must outlive the export. */
struct export_settings {
    const char *name;        /* "" is the default export */
    const char *description; /* may be NULL */
    const char *image;
    struct key_source key;   /* the passphrase */
    const char *header;      /* detached LUKS header: a path; NULL: in the image */
    struct demand_arguments demand_texts; /* of this export alone */
    struct luks_demands demands;          /* all that is demanded of its LUKS header */
    struct param_list allow; /* rules of this export alone, as text */
    struct access *access;   /* who may attach it (access.h); NULL: everybody */
    bool raw;                /* no LUKS layer */
    bool read_only;
    bool discard;
    bool no_discard;         /* the flag allow-discards of a LUKS2 header means nothing */
    bool zero_holes;         /* a sector of zeros in the image reads as zeros (luks-layer.h) */
    bool direct;
    struct lock_terms terms;
    bool tls_only;           /* clients without TLS neither see nor attach it */
};

struct export {
    const char *name;
    const char *description;   /* NULL: none */
    const struct access *access; /* who may attach it; NULL: everybody */
    bool tls_only;
    struct stage *top;
    struct stage *header;      /* a detached one that stays open, because it is locked; NULL: none */
    struct limits limits;      /* of the top, with read_only as the user asked; the size may grow */
    struct range_lock *ranges; /* used by the align stage */
    struct layer **layers;     /* one per worker; NULL until the first client of that worker */
};

NODISCARD int export_open(struct export *out, const struct export_settings *settings,
                          struct offload *offload, unsigned workers, struct error *err);
void export_close(struct export *ex);
/* Looks whether the image was made larger, and tells: who attaches it from now on sees the new size.  On the
 * main thread, while it is served. */
void export_grow(struct export *ex);
/* Makes durable what clients wrote; blocks.  For the end of the server, which takes the loop at its start:
 * another ring might not be had any more. */
NODISCARD int export_flush(struct export *ex, struct loop *loop, struct error *err);

/* The export's pipeline on this worker; made at the first call. */
NODISCARD int export_attach(struct layer **out, struct export *ex, struct worker *worker,
                            struct error *err);

#endif
