/* Checks the JSON text of a LUKS2 header: see luks-policy.h. */
#ifndef NBDCRYPT_LUKS2_POLICY_H
#define NBDCRYPT_LUKS2_POLICY_H

#include <json-c/json.h>

#include "crypto/luks/luks-policy.h"

/* `copy_bytes` is the size of one header copy (binary part and JSON area); the keyslots' areas lie
 * behind two of them.  Fills the segment (without uuid) and the areas of all keyslots. */
NODISCARD int luks2_policy_check(struct luks_segment *segment, struct luks_areas *areas,
                                 struct json_object *root, uint64_t copy_bytes,
                                 const struct luks_sizes *sizes, struct error *err);

#endif
