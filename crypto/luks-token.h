/* Tokens of a LUKS2 header in memory: JSON objects that say how keyslots may be opened
 * ("LUKS2 On-Disk Format Specification" 1.1, 3.4).  luks-change.h stores what is changed.
 *
 * No token is ever used here, and no code is loaded for one. */
#ifndef NBDCRYPT_LUKS_TOKEN_H
#define NBDCRYPT_LUKS_TOKEN_H

#include "crypto/luks.h"

#define LUKS_TOKENS_MAX 32
#define LUKS_TOKEN_ANY (-1)
/* More does not fit the largest header. */
#define LUKS_TOKEN_BYTES_MAX (4u * 1024u * 1024u)

/* The JSON text of a token; the caller frees it.  -ENOTSUP: LUKS1; -ENOENT: there is none. */
NODISCARD int luks_token_get(char **json, int token, struct luks_header *header, struct error *err);

/* *token: where it is put, or LUKS_TOKEN_ANY; it becomes the one that was taken.  `replace`: one that is
 * there.  -EINVAL: no JSON, or no token; -EEXIST; -ENOSPC: it does not fit. */
NODISCARD int luks_token_set(int *token, struct luks_header *header, const char *json, bool replace,
                             struct error *err);

NODISCARD int luks_token_remove(int token, struct luks_header *header, struct error *err);

#endif
