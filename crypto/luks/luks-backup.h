/* Backups of a header area: the same bytes as `cryptsetup luksHeaderBackup` writes.
 *
 * LUKS2: both copies of the metadata and the whole area of keyslots.  LUKS1: from the first byte to
 * the end of the last keyslot, up to whole pages, with zeros between header and keyslots. */
#ifndef NBDCRYPT_LUKS_BACKUP_H
#define NBDCRYPT_LUKS_BACKUP_H

#include "crypto/luks/luks-store.h"
#include "crypto/luks/luks.h"

/* Absurd beyond this: the largest area that the policy allows, and both copies. */
#define LUKS_BACKUP_BYTES_MAX (136ull * 1024u * 1024u)

/* What the header takes where it is stored, with its keyslots. */
NODISCARD int luks_backup_area_bytes(uint64_t *bytes, struct luks_header *header,
                                     struct error *err);

/* The backup as an anonymous file, which the caller closes; *bytes: its size.  `read` reads what
 * the header was loaded from. */
NODISCARD int luks_backup_make(int *fd, uint64_t *bytes, struct luks_header *header,
                               luks_read_fn *read, void *context, struct error *err);

/* The UUID of a header as it is there, even if nothing else of it can be used: 39 bytes at most,
 * unknown ones replaced.  -EMEDIUMTYPE: there is no header. */
NODISCARD int luks_backup_uuid(char out[40], luks_read_fn *read, void *context,
                               uint64_t header_bytes, struct error *err);

/* Before `backup`, which `from` has, is written where there is no header: *differs_bytes is where
 * `to` has the first sector that is neither zeros nor what the backup has there; UINT64_MAX: there
 * is none, so that nothing else is lost.  `to` has room for it. */
NODISCARD int luks_backup_compare(uint64_t *differs_bytes, struct luks_header *backup,
                                  const struct luks_store *from, const struct luks_store *to,
                                  struct error *err);

/* Does the data of `old` make sense with the header `new`?  -EPERM: no, the message names the
 * field. */
NODISCARD int luks_backup_fits(const struct luks_header *old, const struct luks_header *new,
                               struct error *err);

#endif
