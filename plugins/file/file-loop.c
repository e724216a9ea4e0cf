/* Loop devices: see file-loop.h. */
#include "plugins/file/file-loop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SECTOR_BYTES 512u
#define LINE_BYTES 4200u /* a path, and the line's end */

/* ---- sysfs ---- */

/* The only line of a file without its end; false: there is none. */
static bool read_line(char line[LINE_BYTES], const char *folder, const char *name)
{
    char path[LINE_BYTES];
    ssize_t length = -1;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    length = read(fd, line, LINE_BYTES - 1);
    (void)close(fd);
    if (length <= 0)
        return false;
    line[line[length - 1] == '\n' ? length - 1 : length] = '\0';
    return true;
}

static uint64_t read_number(const char *folder, const char *name)
{
    char line[LINE_BYTES];

    return read_line(line, folder, name) ? strtoull(line, NULL, 10) : 0;
}

/* ---- from the device to the file ---- */

/* What has the name now may be another file; the kernel knows which one it opened. */
static bool is_behind(int device_fd, const struct stat *file)
{
    struct loop_info64 info;

    return ioctl(device_fd, LOOP_GET_STATUS64, &info) == 0 && info.lo_inode == file->st_ino &&
           info.lo_device == file->st_dev;
}

int file_loop_open_file(struct file_loop_part *out, int device_fd, const struct stat *device,
                        bool read_only, struct error *err)
{
    char self[64], disk[80], path[LINE_BYTES];
    struct stat status;

    *out = (struct file_loop_part){ .fd = -1 };
    (void)snprintf(self, sizeof self, "/sys/dev/block/%u:%u", major(device->st_rdev),
                   minor(device->st_rdev));
    /* A partition is a folder in that of its disk. */
    uint64_t start_bytes = read_number(self, "start") * SECTOR_BYTES;
    (void)snprintf(disk, sizeof disk, "%s%s", self, read_number(self, "partition") ? "/.." : "");
    if (!read_line(path, disk, "loop/backing_file"))
        return 0;
    int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return error_set(err, -errno, "the file behind it, '%s', can't be opened: %s", path,
                         strerror(errno));
    if (fstat(fd, &status) != 0 || !is_behind(device_fd, &status)) {
        (void)close(fd);
        return 0;
    }
    *out = (struct file_loop_part){
        .fd = fd,
        .start_bytes = read_number(disk, "loop/offset") + start_bytes,
        .length_bytes = read_number(self, "size") * SECTOR_BYTES,
    };
    return 0;
}

/* ---- from the file to the device ---- */

static bool same(const struct stat *a, const struct stat *b)
{
    if (S_ISBLK(a->st_mode))
        return S_ISBLK(b->st_mode) && a->st_rdev == b->st_rdev;
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* For lack of something that there is at another time: then nothing is known. */
static bool is_passing(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

/* As file_loop_find(). */
static int is_made_of(const char *device, const struct stat *status, bool writable)
{
    char folder[300], path[LINE_BYTES];
    struct stat file;

    (void)snprintf(folder, sizeof folder, "/sys/block/%s", device);
    errno = 0;
    if (!read_line(path, folder, "loop/backing_file") || stat(path, &file) != 0)
        return is_passing(errno) ? -errno : 0;
    return same(status, &file) && !(writable && read_number(folder, "ro"));
}

int file_loop_find(char name[FILE_LOOP_NAME_BYTES], const struct stat *status, bool writable)
{
    DIR *devices = opendir("/sys/block");
    const struct dirent *entry;
    int found = 0;

    if (devices == NULL)
        return is_passing(errno) ? -errno : 0;
    while (found == 0 && (entry = readdir(devices)) != NULL) {
        if (strncmp(entry->d_name, "loop", 4) == 0)
            found = is_made_of(entry->d_name, status, writable);
        if (found == 1)
            (void)snprintf(name, FILE_LOOP_NAME_BYTES, "%.31s", entry->d_name);
    }
    (void)closedir(devices);
    return found;
}
