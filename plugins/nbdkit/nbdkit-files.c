/* The disks that plugins of nbdkit are given: see nbdkit-files.h. */
#include "plugins/nbdkit/nbdkit-files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/file/file-lock.h"

struct nbdkit_file {
    struct nbdkit_file *next;
    struct file_lock lock;
};

/* A file of another meaning, such as a script, is read by many, and would be in use for no
 * reason. */
static bool names_a_disk(const char *plugin, const char *key)
{
    static const char *const known[] = { "file", "split", "partitioning" };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(plugin, known[i]) == 0)
            return strcmp(key, "file") == 0;
    return false;
}

/* What can't be opened is the plugin's to complain of, and to do without: it falls back to reading,
 * too. */
static int open_disk(struct stage_settings *settings)
{
    int flags = O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int fd = settings->options.read_only ? -1 : open(settings->path, flags | O_RDWR);
    struct stat status;

    if (fd < 0) {
        settings->options.read_only = true;
        fd = open(settings->path, flags | O_RDONLY);
    }
    if (fd < 0 || (fstat(fd, &status) == 0 && (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode))))
        return fd;
    close(fd);
    return -1;
}

int nbdkit_files_lock(struct nbdkit_files *files, const char *plugin, const char *key,
                      const char *value, struct error *err)
{
    struct stage_settings settings = *files->settings;

    settings.path = value;
    int fd = settings.options.lock && names_a_disk(plugin, key) ? open_disk(&settings) : -1;
    if (fd < 0)
        return 0;
    struct nbdkit_file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        close(fd);
        return error_no_memory(err, NULL);
    }
    file->next = files->first;
    files->first = file;
    int result = file_lock_take(&file->lock, fd, &settings, err);
    if (result < 0)
        error_prefix(err, "the plugin's file '%s': ", value);
    return result;
}

void nbdkit_files_release_header(const struct nbdkit_files *files)
{
    for (const struct nbdkit_file *file = files->first; file != NULL; file = file->next)
        file_lock_release_header(&file->lock);
}

void nbdkit_files_release(struct nbdkit_files *files)
{
    for (struct nbdkit_file *file = files->first, *next; file != NULL; file = next) {
        next = file->next;
        file_lock_release(&file->lock);
        close(file->lock.fd);
        free(file);
    }
    files->first = NULL;
}
