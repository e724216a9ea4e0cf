/* The disks of the simulated world, and what is on them before the first start: an image, and where
 * the header is detached another one for it. */
#ifndef NBDCRYPT_SIM_VOLUMES_H
#define NBDCRYPT_SIM_VOLUMES_H

#include <stdbool.h>
#include <stdint.h>

#define VOLUME_IMAGE "image"
#define VOLUME_HEADER "header"
#define VOLUME_BACKUP "backup" /* of the header, when there is one */
#define VOLUME_FOREIGN "foreign"
#define VOLUME_OTHER \
    "other-" /* and 1, 2 or 3: for an export that clients of the first do not see */

#define VOLUME_NEIGHBOUR VOLUME_OTHER "4"

/* Before the fork: what takes long and is the same in all seeds; those that `options` need and that
 * are not there yet. */
void volumes_make_fixtures(void);
/* As the options say; once for each seed. */
void volumes_make(void);
uint64_t volumes_export_bytes(void);
uint64_t volumes_desert_bytes(void); /* the first of these */
/* Errors and losses of all disks so far, and of servers that hold them. */
uint64_t volumes_errors(void);
/* Who opens them anew does not know that a sync has failed before, and its FLUSH says nothing of
 * what was lost then. */
void volumes_forget_errors(void);
/* Something holds them up that may last a while: errors may follow until long after that. */
void volumes_trouble(void);
bool volumes_are_in_trouble(void);
/* Since they were opened. */
bool volumes_were_in_trouble(void);
void volumes_power_cut(void);
/* Somebody has overwritten the start of the header, in both copies; and there is the mark of a
 * filesystem now. */
void volumes_wreck_header(bool marked);
/* Of LUKS2: in one of them. */
void volumes_damage_header(bool secondary);
/* One of another volume of the same type. */
void volumes_make_foreign_backup(void);
/* Where its copies end, before the keyslots. */
uint64_t volumes_header_bytes(void);
void volumes_end_faults(void);

#endif
