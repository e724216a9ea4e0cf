/* Tokens of a LUKS2 header in memory: JSON objects that say how keyslots may be opened
 * ("LUKS2 On-Disk Format Specification" 1.1, 3.4).  luks-change.h stores what is changed.
 *
 * No code is loaded for a token here: what writes the storage also writes the tokens.  One type
 * says no more than the name of a key in the kernel's keyrings, which the caller may look up.  For
 * the others see luks-token-plugin.h. */
#ifndef NBDCRYPT_LUKS_TOKEN_H
#define NBDCRYPT_LUKS_TOKEN_H

#include "crypto/luks/luks-types.h"

#define LUKS_TOKENS_MAX 32
#define LUKS_TOKEN_ANY (-1)
/* More does not fit the largest header. */
#define LUKS_TOKEN_BYTES_MAX (4u * 1024u * 1024u)

/* The JSON text of a token; the caller frees it.  -ENOTSUP: LUKS1; -ENOENT: there is none. */
NODISCARD int luks_token_get(char **json, int token, struct luks_header *header, struct error *err);

/* *token: where it is put, or LUKS_TOKEN_ANY; it becomes the one that was taken.  `replace`: one
 * that is there.  -EINVAL: no JSON, or no token; -EEXIST; -ENOSPC: it does not fit. */
NODISCARD int luks_token_set(int *token, struct luks_header *header, const char *json, bool replace,
                             struct error *err);

/* A token of type "luks2-keyring" (4.2 there)? */
bool luks_token_is_keyring(int token, const struct luks_header *header);
/* The description of its user key, printable; the caller frees it.  -ENOTSUP: of another type. */
NODISCARD int luks_token_keyring(char **description, int token, struct luks_header *header,
                                 struct error *err);
/* Any type; the caller frees it.  -ENOTSUP: LUKS1; -ENOENT: there is none. */
NODISCARD int luks_token_type(char **type, int token, struct luks_header *header,
                              struct error *err);
bool luks_token_is_there(int token, const struct luks_header *header);
/* Is it for this keyslot? */
bool luks_token_opens(int token, int slot, const struct luks_header *header);

NODISCARD int luks_token_remove(int token, struct luks_header *header, struct error *err);

#endif
