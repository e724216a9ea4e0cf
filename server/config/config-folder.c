#include "server/config/config-folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".conf"

static const char *const system_folders[] = { "/etc/nbdcrypt/conf.d", "/run/nbdcrypt/conf.d",
                                              "/var/lib/nbdcrypt/conf.d" };

struct reading {
    struct config_file *config;
    bool any_owner;
    char **masked; /* names of files that are not read */
    size_t masked_count;
    struct error *err;
};

static int no_memory(struct reading *reading)
{
    return error_no_memory(reading->err, "for the configuration");
}

/* A problem with a file as a whole, or a folder. */
static int tell(struct reading *reading, const char *path, const char *what)
{
    struct config_file *config = reading->config;
    char *copy = strdup(path);
    int result = config_file_keep(config, copy, reading->err);

    if (result == 0)
        config_problem(&config->problems, &(struct config_place){ copy, 0, config->text_count },
                       "%s", what);
    return result;
}

/* ---- whom to believe ---- */

/* Why this file is not to be believed; NULL: it is. */
static const char *distrust(const struct reading *reading, const struct stat *status)
{
    if ((status->st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return S_ISDIR(status->st_mode) ? "others may write in this folder: chmod go-w it"
                                        : "others may write this file: chmod go-w it";
    if (!reading->any_owner && status->st_uid != 0 && status->st_uid != geteuid())
        return "it belongs to a user who is neither root nor the one that runs the server: chown "
               "it";
    return NULL;
}

/* ---- one file ---- */

static int read_bytes(int fd, char *bytes, size_t max_bytes, size_t *length_bytes)
{
    *length_bytes = 0;
    while (*length_bytes < max_bytes) {
        ssize_t got = read(fd, bytes + *length_bytes, max_bytes - *length_bytes);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        *length_bytes += (size_t)got;
    }
    return 0;
}

static int read_open_file(struct reading *reading, int fd, const char *path)
{
    struct config_file *config = reading->config;
    struct stat status;
    size_t length_bytes;

    if (fstat(fd, &status) != 0)
        return tell(reading, path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return tell(reading, path, "it is not a regular file");
    if (distrust(reading, &status) != NULL)
        return tell(reading, path, distrust(reading, &status));
    char *bytes = malloc(CONFIG_FILE_BYTES_MAX + 1);
    if (bytes == NULL)
        return no_memory(reading);
    int result = read_bytes(fd, bytes, CONFIG_FILE_BYTES_MAX + 1, &length_bytes);
    config->file_count++;
    config->bytes += result == 0 ? length_bytes : 0;
    if (result < 0)
        result = tell(reading, path, strerror(-result));
    else if (length_bytes > CONFIG_FILE_BYTES_MAX)
        result = tell(reading, path, "it has more than 1 MiB: put exports into several files");
    else if (config->bytes > CONFIG_BYTES_MAX || config->file_count > CONFIG_FILES_MAX)
        result = tell(reading, path, "the configuration has more than 20000 files, or 128 MiB");
    else
        result = config_file_parse(config, path, bytes, length_bytes, reading->err);
    free(bytes);
    return result;
}

static int read_file(struct reading *reading, const char *path)
{
    /* Of a pipe that nobody writes nothing is to be waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    char who[64];
    int result;

    snprintf(who, sizeof who, "uid %u may not read it", geteuid());
    if (fd < 0)
        return tell(reading, path,
                    errno == ENOENT   ? "there is no such file"
                    : errno == EACCES ? who
                                      : strerror(errno));
    result = read_open_file(reading, fd, path);
    close(fd);
    return result;
}

/* ---- folders ---- */

static int is_configuration(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return entry->d_name[0] != '.' && length > strlen(SUFFIX) &&
           strcmp(entry->d_name + length - strlen(SUFFIX), SUFFIX) == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_masked(const struct reading *reading, const char *name)
{
    return reading->masked_count > 0 && bsearch(&name, reading->masked, reading->masked_count,
                                                sizeof name, compare_names) != NULL;
}

static int note_if_masked(struct reading *reading, const char *path, const char *name)
{
    char target[sizeof "/dev/null"];
    char **masked;

    if (readlink(path, target, sizeof target) != (ssize_t)strlen("/dev/null") ||
        memcmp(target, "/dev/null", strlen("/dev/null")) != 0)
        return 0;
    masked = reallocarray(reading->masked, reading->masked_count + 1, sizeof *masked);
    if (masked == NULL)
        return no_memory(reading);
    reading->masked = masked;
    masked[reading->masked_count] = strdup(name);
    return masked[reading->masked_count] == NULL ? no_memory(reading)
                                                 : (reading->masked_count++, 0);
}

static int read_unmasked(struct reading *reading, const char *path, const char *name)
{
    return is_masked(reading, name) ? 0 : read_file(reading, path);
}

/* Calls `each` for the files of a folder. */
static int walk_folder(struct reading *reading, const char *folder,
                       int (*each)(struct reading *, const char *path, const char *name))
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_configuration, by_bytes), code = 0;

    if (count < 0)
        return tell(reading, folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        char *path = NULL;

        if (code == 0 && asprintf(&path, "%s/%s", folder, entries[i]->d_name) < 0)
            code = no_memory(reading);
        else if (code == 0)
            code = each(reading, path, entries[i]->d_name);
        free(path);
        free(entries[i]);
    }
    free(entries);
    return code;
}

/* Everything in it is believed if it is.  One that was named must be there: a rule may be missing
 * with it. */
static int read_folder(struct reading *reading, const char *folder, bool must_be_there)
{
    struct stat status;

    if (stat(folder, &status) != 0)
        return errno == ENOENT && !must_be_there ? 0 : tell(reading, folder, strerror(errno));
    if (distrust(reading, &status) != NULL)
        return tell(reading, folder, distrust(reading, &status));
    return walk_folder(reading, folder, read_unmasked);
}

static int note_masked(struct reading *reading, const char *const *folders, size_t count)
{
    int result = 0;

    for (size_t i = 0; i < count && result == 0; i++) {
        struct stat status;

        if (stat(folders[i], &status) == 0 && distrust(reading, &status) == NULL)
            result = walk_folder(reading, folders[i], note_if_masked);
    }
    if (reading->masked_count > 0)
        qsort(reading->masked, reading->masked_count, sizeof *reading->masked, compare_names);
    return result;
}

static int read_folders(struct reading *reading, const char *const *folders, size_t count,
                        bool must_be_there)
{
    int result = note_masked(reading, folders, count);

    for (size_t i = 0; i < count && result == 0; i++)
        result = read_folder(reading, folders[i], must_be_there);
    return result;
}

static int read_folder_beside(struct reading *reading, const char *file)
{
    const char *slash = strrchr(file, '/');
    char *folder;
    int result;

    if (asprintf(&folder, "%.*sconf.d", slash == NULL ? 0 : (int)(slash - file) + 1, file) < 0)
        return no_memory(reading);
    result = read_folders(reading, &(const char *){ folder }, 1, false);
    free(folder);
    return result;
}

int config_folder_read(struct config_file *out, const char *file, const char *const *folders,
                       size_t count, bool any_owner, struct error *err)
{
    struct reading reading = { .config = out, .any_owner = any_owner, .err = err };
    int result = read_file(&reading, file);

    if (result == 0 && count > 0)
        result = read_folders(&reading, folders, count, true);
    else if (result == 0 && strcmp(file, CONFIG_FILE_DEFAULT) == 0)
        result = read_folders(&reading, system_folders,
                              sizeof system_folders / sizeof system_folders[0], false);
    else if (result == 0)
        result = read_folder_beside(&reading, file);
    for (size_t i = 0; i < reading.masked_count; i++)
        free(reading.masked[i]);
    free(reading.masked);
    return result;
}
