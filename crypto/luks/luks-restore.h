/* Restoring the backup of a header, so that there are keys at every instant: until the header of
 * the backup and the material of its keys are stored, the old ones are.
 *
 * Material of the backup's keys that would have to overwrite that of keys which are there is put
 * elsewhere first, where neither header has any, and a header that says so is stored (the detour):
 *
 *     [material, elsewhere | header of the detour |] material | header of the backup | the rest of
 * the area
 *
 * with a flush behind each, and undone when one fails, as in luks-steps.h.  Where that is not
 * possible luks_restore_risk() tells. */
#ifndef NBDCRYPT_LUKS_RESTORE_H
#define NBDCRYPT_LUKS_RESTORE_H

#include "crypto/luks/luks-steps.h"
#include "crypto/luks/luks.h"

struct luks_restore;

/* Writes nothing yet.  `backup` was loaded from the backup, which `read` reads; `old` from `store`,
 * NULL when no header there can be used.  Both headers must stay until luks_restore_free(). */
NODISCARD int luks_restore_plan(struct luks_restore **out, struct luks_header *backup,
                                luks_read_fn *read, void *context, const struct luks_header *old,
                                const struct luks_store *store, struct error *err);

/* Why no key will open the volume for a moment: the end of a sentence.  NULL: one always will. */
const char *luks_restore_risk(const struct luks_restore *restore);

/* Once.  When it fails, *outcome: LUKS_OUTCOME_AFTER: the header of the backup is in force, and
 * what else the backup has is missing; LUKS_OUTCOME_UNKNOWN: it has to be repeated. */
NODISCARD int luks_restore_run(struct luks_restore *restore, const struct luks_store *store,
                               enum luks_outcome *outcome, struct error *err);

void luks_restore_free(struct luks_restore *restore); /* NULL is fine */

#endif
