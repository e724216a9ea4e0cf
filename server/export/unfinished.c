#include "server/export/unfinished.h"

#include <errno.h>
#include <inttypes.h>

#include "crypto/luks/luks-conversion.h"

int unfinished_check(struct luks_header *header, const struct export_settings *settings,
                     struct error *err)
{
    struct luks_conversion conversion;
    int token;

    if (settings->converting || !luks_conversion_find(&conversion, &token, header))
        return 0;
    return error_set(err, -EBUSY,
                     "its data is not whole: it is the target of `nbdcrypt convert`, which has "
                     "written %" PRIu64 " of %" PRIu64 " bytes; the same command goes on with it, "
                     "and `nbdcrypt token remove --token %d %s` takes it as it is",
                     conversion.done_bytes, conversion.size_bytes, token, settings->image);
}
