/* nbdcrypt ctl limits, groups: how fast the clients of an export, or of a group, may be. */
#ifndef NBDCRYPT_CTL_LIMITS_H
#define NBDCRYPT_CTL_LIMITS_H

#include "server/cli/ctl.h"
#include "server/cli/text-table.h"

int ctl_limits(struct ctl *ctl);
int ctl_groups(struct ctl *ctl);

/* A cell: "iops=500 bandwidth=100M"; "-": none. */
void ctl_limits_cell(char out[TEXT_CELL_BYTES], struct json_object *value);

#endif
