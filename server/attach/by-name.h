/* /dev/disk/by-nbd/NAME, where no udev makes it by its rules. */
#ifndef NBDCRYPT_BY_NAME_H
#define NBDCRYPT_BY_NAME_H

/* `link` is a name without a slash. */
void by_name_make(const char *link, unsigned index);
void by_name_remove(const char *link, unsigned index);

#endif
