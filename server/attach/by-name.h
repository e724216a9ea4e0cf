/* /dev/disk/by-nbd/NAME: udev makes it by its rules, and where no udev runs, this does. */
#ifndef NBDCRYPT_BY_NAME_H
#define NBDCRYPT_BY_NAME_H

/* `link` is a name without a slash.  It is there afterwards, or a message says that it is not: who
 * has attached a device goes on with its name. */
void by_name_make(const char *link, unsigned index);
/* Once the record is gone, which udev's rules look at. */
void by_name_remove(const char *link, unsigned index);

#endif
