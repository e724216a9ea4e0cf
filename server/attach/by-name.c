#include "server/attach/by-name.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/log.h"

#define FOLDER "/dev/disk/by-nbd"
#define PATH_BYTES 512u

static bool udev_runs(void)
{
    return access("/run/udev/control", F_OK) == 0;
}

void by_name_make(const char *link, unsigned index)
{
    char path[PATH_BYTES], target[64];

    if (udev_runs())
        return;
    (void)mkdir("/dev/disk", 0755);
    (void)mkdir(FOLDER, 0755);
    snprintf(path, sizeof path, FOLDER "/%s", link);
    snprintf(target, sizeof target, "../../nbd%u", index);
    (void)unlink(path);
    if (symlink(target, path) != 0)
        log_warning("%s can't be made: %s", path, strerror(errno));
}

/* Only if it is still the one of this device. */
void by_name_remove(const char *link, unsigned index)
{
    char path[PATH_BYTES], target[64], found[64];

    if (udev_runs())
        return;
    snprintf(path, sizeof path, FOLDER "/%s", link);
    snprintf(target, sizeof target, "../../nbd%u", index);
    ssize_t length = readlink(path, found, sizeof found - 1);
    found[length > 0 ? length : 0] = '\0';
    if (strcmp(found, target) == 0)
        (void)unlink(path);
}
