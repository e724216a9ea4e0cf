#include "crypto/luks/luks-flags.h"

#include <errno.h>

#include "crypto/luks/luks-header.h"

int luks_flags_allow_discards(struct luks_header *header, bool allow, struct error *err)
{
    struct cryptsetup_library *library = header->library;
    uint32_t flags = 0;
    int result;

    if (header->segment.type == LUKS_TYPE_1)
        return error_set(err, -ENOTSUP, "LUKS1 has no persistent flags: serve it with --discard");
    cryptsetup_library_lock();
    result = crypt_persistent_flags_get(library->device, CRYPT_FLAGS_ACTIVATION, &flags);
    if (allow)
        flags |= CRYPT_ACTIVATE_ALLOW_DISCARDS;
    else
        flags &= ~(uint32_t)CRYPT_ACTIVATE_ALLOW_DISCARDS;
    if (result == 0)
        result = crypt_persistent_flags_set(library->device, CRYPT_FLAGS_ACTIVATION, flags);
    cryptsetup_library_unlock();
    if (result < 0)
        return cryptsetup_library_error(library, result, "the flags can't be changed", err);
    return 0;
}
