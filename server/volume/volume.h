/* A LUKS header for the commands that look at it or change it: in IMAGE, or in the file of
 * --header. */
#ifndef NBDCRYPT_VOLUME_H
#define NBDCRYPT_VOLUME_H

#include "crypto/luks/luks-change.h"
#include "crypto/luks/luks-demands.h"
#include "crypto/luks/luks.h"
#include "crypto/luks/format-signature.h"
#include "server/block/image-io.h"

enum volume_use {
    VOLUME_READ,        /* no lock: looking is free */
    VOLUME_CHANGE_KEYS, /* alone with the header; a server may serve the data meanwhile */
    VOLUME_REPLACE,     /* alone with the whole image */
};

struct volume {
    const char *spec;    /* of what holds the header, for messages */
    struct stage *stage; /* of that, too */
    struct image_io *io;
    uint64_t data_bytes; /* size of the image that holds the data */
    bool detached;
    struct luks_header *header; /* NULL before volume_load() */
};

/* Opens what holds the header; `header_spec` may be NULL, and so may `terms`, of the lock.  The
 * strings must stay.  volume_close() in every case. */
NODISCARD int volume_open(struct volume *out, const char *image_spec, const char *header_spec,
                          enum volume_use use, const struct lock_terms *terms, struct error *err);
/* Reads the header.  The message names the image, and what it holds if it is no LUKS header. */
NODISCARD int volume_load(struct volume *volume, struct error *err);
/* What else is there, beside a LUKS header.  The message names nothing. */
NODISCARD int volume_signature(struct format_signature *out, const struct volume *volume,
                               struct error *err);
/* Opens and loads.  A header that will be changed must be alone: -EEXIST. */
NODISCARD int volume_open_header(struct volume *out, const char *image_spec,
                                 const char *header_spec, enum volume_use use,
                                 const struct lock_terms *terms, struct error *err);
/* The same, of a header that fulfils the demands. */
NODISCARD int volume_open_demanded(struct volume *out, const char *image_spec,
                                   const char *header_spec, const struct luks_demands *demands,
                                   enum volume_use use, const struct lock_terms *terms,
                                   struct error *err);
void volume_close(struct volume *volume);

/* Where its bytes are, for crypto/. */
struct luks_store volume_store(struct volume *volume);

/* "image 'x': " or "header 'x': " in front of the message. */
void volume_prefix(const struct volume *volume, struct error *err);

/* Changes `header`, which is in memory; what is wrong with the result can be found out by
 * luks_change_check(change, ...). */
typedef int volume_edit_fn(void *context, struct luks_header *header, struct luks_change *change,
                           struct error *err);

/* After storage failed amid a change: puts behind the message what opens `volume` now.  Its header
 * is what is stored, read again. */
typedef void volume_tell_fn(void *context, struct volume *volume, struct error *err);

/* Lets `edit` change the loaded header, and stores what differs (crypto/luks/luks-change.h).  The
 * message names the image.  When it can't be stored it says which header is in force, and what
 * `tell` adds, or which keyslots are in use where that is NULL.  *outcome is that of
 * luks_change_outcome(), LUKS_OUTCOME_UNTOUCHED if it did not come to that; it may be NULL. */
NODISCARD int volume_change_telling(struct volume *volume, volume_edit_fn *edit,
                                    volume_tell_fn *tell, void *context, enum luks_outcome *outcome,
                                    struct error *err);

/* The same, without those two. */
NODISCARD int volume_change(struct volume *volume, volume_edit_fn *edit, void *context,
                            struct error *err);

/* Storage failed while its header was written: says so in front of the message, reads the header
 * again, and puts behind the message what was found: see volume_change_telling(). */
void volume_explain(struct volume *volume, enum luks_outcome outcome, volume_tell_fn *tell,
                    void *context, struct error *err);

#endif
