#include "server/attach/nbd-device.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/base/file-io.h"

#define PATH_BYTES 64u

/* "nbd3" alone, without zeros in front. */
static bool take_name(unsigned *index, const char *text)
{
    size_t digits = strncmp(text, "nbd", 3) == 0 ? strspn(text + 3, "0123456789") : 0;

    if (digits == 0 || digits > 7 || text[3 + digits] != '\0' || (digits > 1 && text[3] == '0'))
        return false;
    *index = (unsigned)strtoul(text + 3, NULL, 10);
    return *index <= NBD_DEVICE_INDEX_MAX;
}

int nbd_device_parse(unsigned *index, const char *text, struct error *err)
{
    const char *name = strncmp(text, "/dev/", 5) == 0 ? text + 5 : text;

    if (take_name(index, name))
        return 0;
    char *real = text[0] == '/' ? realpath(text, NULL) : NULL;
    bool found = real != NULL && strncmp(real, "/dev/", 5) == 0 && take_name(index, real + 5);
    free(real);
    return found
               ? 0
               : error_set(err, -EINVAL,
                           "'%.200s' is no device of the kernel's NBD client: write it as nbd3 or "
                           "/dev/nbd3",
                           text);
}

static int open_attribute(unsigned index, const char *name, int flags)
{
    char path[PATH_BYTES];

    snprintf(path, sizeof path, "/sys/block/nbd%u/%s", index, name);
    return open(path, flags | O_CLOEXEC);
}

/* Without the end of its line; "": there is none. */
static void read_attribute(char *out, size_t room_bytes, unsigned index, const char *name)
{
    size_t length_bytes = 0;
    int fd = open_attribute(index, name, O_RDONLY);

    if (fd >= 0 && file_io_read(fd, out, room_bytes - 1, &length_bytes) < 0)
        length_bytes = 0;
    if (fd >= 0)
        close(fd);
    out[length_bytes] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

bool nbd_device_is_attached(unsigned index)
{
    char path[PATH_BYTES];

    snprintf(path, sizeof path, "/sys/block/nbd%u/pid", index);
    return access(path, F_OK) == 0;
}

void nbd_device_attacher(char out[NBD_ATTACHER_BYTES], unsigned index)
{
    read_attribute(out, NBD_ATTACHER_BYTES, index, "pid");
}

void nbd_device_backend(char out[NBD_BACKEND_BYTES], unsigned index)
{
    read_attribute(out, NBD_BACKEND_BYTES, index, "backend");
}

uint64_t nbd_device_size_bytes(unsigned index)
{
    char text[32];

    read_attribute(text, sizeof text, index, "size");
    return strtoull(text, NULL, 10) * 512;
}

bool nbd_device_is_read_only(unsigned index)
{
    char text[8];

    read_attribute(text, sizeof text, index, "ro");
    return text[0] == '1';
}

int nbd_device_each(int (*visit)(void *context, unsigned index), void *context)
{
    DIR *folder = opendir("/sys/block");
    const struct dirent *entry;
    unsigned index;
    int result = 0;

    while (folder != NULL && result == 0 && (entry = readdir(folder)) != NULL)
        if (take_name(&index, entry->d_name) && nbd_device_is_attached(index))
            result = visit(context, index);
    if (folder != NULL)
        closedir(folder);
    return result;
}

void nbd_device_announce(unsigned index)
{
    int fd = open_attribute(index, "uevent", O_WRONLY);

    if (fd < 0)
        return;
    (void)!write(fd, "change", 6);
    close(fd);
}
