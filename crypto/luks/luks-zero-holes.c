/* That holes are zeros: see luks-zero-holes.h. */
#include "crypto/luks/luks-zero-holes.h"

#include <errno.h>
#include <string.h>

#include "crypto/luks/luks-header.h"
#include "crypto/luks/luks-token.h"

#define TYPE "nbdcrypt-zero-holes"

bool luks_zero_holes_is_token(int token, const struct luks_header *header)
{
    const char *type = NULL;

    if (!luks_token_is_there(token, header))
        return false;
    (void)crypt_token_status(header->library->device, token, &type);
    return type != NULL && strcmp(type, TYPE) == 0;
}

bool luks_zero_holes_recorded(const struct luks_header *header)
{
    for (int token = 0; token < LUKS_TOKENS_MAX; token++)
        if (luks_zero_holes_is_token(token, header))
            return true;
    return false;
}

static int record(struct luks_header *header, struct error *err)
{
    int token = 0;

    while (token < LUKS_TOKENS_MAX && luks_token_is_there(token, header))
        token++;
    if (token == LUKS_TOKENS_MAX)
        return error_set(err, -ENOSPC,
                         "all %d tokens of the header are in use: remove one that is not needed "
                         "(nbdcrypt token list shows them)",
                         LUKS_TOKENS_MAX);
    return luks_token_set(&token, header, "{\"type\":\"" TYPE "\",\"keyslots\":[]}", false, err);
}

int luks_zero_holes_record(struct luks_header *header, bool recorded, struct error *err)
{
    int result = 0;

    if (header->segment.type == LUKS_TYPE_1)
        return error_set(err, -ENOTSUP,
                         "LUKS1 has no tokens, so its header can't say that holes "
                         "are zeros");
    if (recorded)
        return luks_zero_holes_recorded(header) ? 0 : record(header, err);
    for (int token = 0; token < LUKS_TOKENS_MAX && result == 0; token++)
        if (luks_zero_holes_is_token(token, header))
            result = luks_token_remove(token, header, err);
    return result;
}
