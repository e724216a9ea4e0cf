/* Passphrases from tokens of other programs, by the plugins for them that libcryptsetup knows
 * (libcryptsetup.h, "External token handlers": systemd has some for TPM2, FIDO2 and PKCS#11).
 *
 * A plugin is code that runs in this process, chosen by the type in the token, that is by who
 * writes the storage: so it comes only from a folder that the user has named, and libcryptsetup
 * itself loads none. */
#ifndef NBDCRYPT_LUKS_TOKEN_PLUGIN_H
#define NBDCRYPT_LUKS_TOKEN_PLUGIN_H

#include "crypto/luks/luks.h"

/* What the token gives; the caller frees *passphrase.  `folder` holds libcryptsetup-token-TYPE.so,
 * which nobody but root and the user of this process may write.  -ENOENT: no such token or plugin;
 * -EPERM: a type that is no name of a file, or a plugin that others may write; -ENOANO: it wants a
 * PIN; otherwise what the plugin said.  Blocks, and may wait for a person. */
NODISCARD int luks_token_plugin_read(struct secret **passphrase, int token,
                                     struct luks_header *header, const char *folder,
                                     struct error *err);

#endif
