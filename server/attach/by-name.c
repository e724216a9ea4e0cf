#include "server/attach/by-name.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/attach/nbd-device.h"
#include "server/base/log.h"

#define FOLDER "/dev/disk/by-nbd"
#define PATH_BYTES 512u
#define TARGET_BYTES 64u
#define UDEV_MS 5000u
#define UDEV_BUSY_MS 60000u
#define LOOK_MS 20

static bool udev_runs(void)
{
    return access("/run/udev/control", F_OK) == 0;
}

static bool is_there(const char *path, const char *target)
{
    char found[TARGET_BYTES];
    ssize_t length = readlink(path, found, sizeof found - 1);

    found[length > 0 ? length : 0] = '\0';
    return strcmp(found, target) == 0;
}

/* While it has this file udev has devices to look at, for which a slow or booting machine takes
 * longer (what `udevadm settle` waits for). */
static bool udev_is_busy(void)
{
    return access("/run/udev/queue", F_OK) == 0;
}

static void wait_for_udev(const char *path, const char *target)
{
    for (unsigned ms = 0; !is_there(path, target); ms += LOOK_MS) {
        if (ms >= UDEV_BUSY_MS || (ms >= UDEV_MS && !udev_is_busy())) {
            log_warning("udev has not made %s: has it 66-nbdcrypt-attach.rules, which the package "
                        "nbdcrypt-attach brings?",
                        path);
            return;
        }
        (void)poll(NULL, 0, LOOK_MS);
    }
}

static void make_path(char path[PATH_BYTES], char target[TARGET_BYTES], const char *link,
                      unsigned index)
{
    snprintf(path, PATH_BYTES, FOLDER "/%s", link);
    snprintf(target, TARGET_BYTES, "../../nbd%u", index);
}

void by_name_make(const char *link, unsigned index)
{
    char path[PATH_BYTES], target[TARGET_BYTES];

    make_path(path, target, link, index);
    nbd_device_announce(index);
    if (udev_runs()) {
        wait_for_udev(path, target);
        return;
    }
    if (is_there(path, target))
        return;
    (void)mkdir("/dev/disk", 0755);
    (void)mkdir(FOLDER, 0755);
    (void)unlink(path);
    if (symlink(target, path) != 0)
        log_warning("%s can't be made: %s", path, strerror(errno));
}

void by_name_remove(const char *link, unsigned index)
{
    char path[PATH_BYTES], target[TARGET_BYTES];

    make_path(path, target, link, index);
    nbd_device_announce(index);
    if (!udev_runs() && is_there(path, target))
        (void)unlink(path);
}
