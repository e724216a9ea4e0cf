/* Block devices that are in use: see file-claim.h. */
#include "plugins/file/file-claim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define NAME_BYTES 256u

/* ---- who has it ---- */

/* Where the file system on the device is mounted.  A line of mountinfo is "36 35 98:0 /root /mnt
 * ...". */
static bool find_mount(char point[NAME_BYTES], dev_t device)
{
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    bool found = false;
    char *line = NULL;
    size_t room = 0;

    while (mounts != NULL && !found && getline(&line, &room, mounts) > 0) {
        unsigned of_major, of_minor;

        found = sscanf(line, "%*d %*d %u:%u %*s %255s", &of_major, &of_minor, point) == 3 &&
                of_major == major(device) && of_minor == minor(device);
    }
    free(line);
    if (mounts)
        (void)fclose(mounts);
    return found;
}

/* A device of device-mapper, LVM or MD that is made of it. */
static bool find_holder(char name[NAME_BYTES], dev_t device)
{
    char path[64];
    const struct dirent *entry = NULL;
    DIR *holders;

    (void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/holders", major(device), minor(device));
    holders = opendir(path);
    while (holders != NULL && (entry = readdir(holders)) && entry->d_name[0] == '.')
        ;
    if (entry)
        (void)snprintf(name, NAME_BYTES, "%s", entry->d_name);
    if (holders)
        (void)closedir(holders);
    return entry;
}

static int refuse(bool *lasting, dev_t device, struct error *err)
{
    char name[NAME_BYTES];

    *lasting = true;
    if (find_mount(name, device))
        return error_set(err, -EBUSY,
                         "it is mounted on %s; unmount it first, or give --force-in-use", name);
    if (find_holder(name, device))
        return error_set(err, -EBUSY,
                         "it is part of %s (device-mapper, LVM or MD); take that apart first, or "
                         "give --force-in-use",
                         name);
    *lasting = false;
    return error_set(
        err, -EBUSY,
        "it, a partition of it or the disk that it is on is in use (mounted, swap, part "
        "of another device, or open in a program that wants it alone, such as another "
        "server); end that first, or give --force-in-use");
}

/* ---- claiming it ---- */

int file_claim(int *claim_fd, bool *lasting, const char *path, bool write,
               const struct stat *device, struct error *err)
{
    int fd = open(path, (write ? O_RDWR : O_RDONLY) | O_EXCL | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status;

    if (fd < 0 && errno == EBUSY)
        return refuse(lasting, device->st_rdev, err);
    if (fd < 0)
        return error_set(err, -errno, "it can't be opened for itself alone: %s", strerror(errno));
    if (fstat(fd, &status) == 0 && S_ISBLK(status.st_mode) && status.st_rdev == device->st_rdev) {
        *claim_fd = fd;
        return 0;
    }
    (void)close(fd);
    return error_set(err, -ESTALE, "another device took its place meanwhile; try again");
}
