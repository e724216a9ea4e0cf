/* The inside of struct luks_header, for the files of this folder that work on one. */
#ifndef NBDCRYPT_LUKS_HEADER_H
#define NBDCRYPT_LUKS_HEADER_H

#include <json-c/json.h>

#include "crypto/luks/cryptsetup-library.h"
#include "crypto/luks/luks-types.h"
#include "crypto/luks/luks1-policy.h"

struct luks_header {
    struct luks_segment segment;
    struct luks_sizes sizes;
    struct luks_areas areas; /* of the keyslots in use */
    uint64_t copy_bytes;     /* LUKS2: of one copy of the metadata */
    int image_fd;            /* memfd with the header area, as libcryptsetup sees it */
    struct cryptsetup_library *library;
    const char *damaged_copy;  /* "primary", "secondary" or NULL (LUKS2) */
    bool primary_is_worse;     /* LUKS2: damaged, or older than the secondary copy */
    bool copies_differ;        /* LUKS2: both are good, and a change has reached only one of them */
    struct luks1_header luks1; /* LUKS1 */
    struct json_object *json;  /* LUKS2: what libcryptsetup understood; owned */
};

#endif
