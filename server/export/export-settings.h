#ifndef NBDCRYPT_EXPORT_SETTINGS_H
#define NBDCRYPT_EXPORT_SETTINGS_H

#include "server/export/export-metadata.h"
#include "server/export/limit-settings.h"
#include "server/volume/header-demands.h"
#include "server/keys/key-source.h"
#include "server/block/layer.h"
#include "server/base/params.h"

struct access;

/* What the user asked for; strings must outlive the export. */
struct export_settings {
    const char *name;        /* "" is the default export */
    const char *description; /* may be NULL */
    const char *image;
    const char *option_prefix; /* of its options, in messages: "source-"; NULL: they have none */
    struct key_source key;     /* the passphrase */
    const struct secret *given_key;       /* what that gives, read already; NULL: it is not */
    bool key_is_common;                   /* it was given once for all exports */
    const char *header;                   /* detached LUKS header: a path; NULL: in the image */
    struct header_demands header_demands; /* of this export alone */
    struct luks_demands demands;          /* all that is demanded of its LUKS header */
    struct param_list allow;              /* rules of this export alone, as text */
    struct access *access;                /* who may attach it (access.h); NULL: everybody */
    struct image_options options; /* read_only, direct and terms: the rest is for who opens it */
    bool raw;                     /* no LUKS layer */
    bool no_contexts;        /* of a raw one: whoever opens it asks for base:allocation alone */
    bool sure_of_passphrase; /* of QEMU's AES, although it decrypts noise */
    bool converting; /* it may be the unfinished target of a conversion, which goes on; its header
                      * stays locked */
    bool discard;
    bool no_discard; /* the flag allow-discards of a LUKS2 header means nothing */
    bool zero_holes; /* a sector of zeros in the image reads as zeros (luks-layer.h) */
    bool tls_only;   /* clients without TLS neither see nor attach it */
    struct limit_settings limits;
    const char *limit_group;  /* whose limits it shares, too; NULL or LIMIT_GROUP_NONE: none */
    unsigned weight;          /* beside clients of others on a thread; 0: as usual */
    const char *block_size;   /* what clients are told of it (block-sizes.h); NULL: as it is */
    const char *slow_request; /* how long one may take before it is told of; NULL: for ever */
    bool added;               /* by a call on the control socket: server/serve/control-exports.c */
    bool persisted;           /* that, and written into a file of the configuration */
    struct export_metadata metadata; /* owned */
};

/* An option that is about it is called "--%sNAME". */
static inline const char *export_option_prefix(const struct export_settings *settings)
{
    return settings->option_prefix != NULL ? settings->option_prefix : "";
}

#endif
