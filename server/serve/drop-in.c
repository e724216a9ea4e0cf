#include "server/serve/drop-in.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/utf8.h"
#include "server/config/config-folder.h"
#include "server/serve/config-keys.h"
#include "server/serve/export-options.h"

#define FOLDER_OF_SYSTEM "/var/lib/nbdcrypt/conf.d"
#define NAME_BYTES_MAX 100u /* of an export, in the name of its file; more is a checksum */

static const char mark[] = "# Written by `nbdcrypt ctl add --persist`; `nbdcrypt ctl remove "
                           "--persist` takes it away.\n";

/* ---- where ---- */

/* What it reads last wins, so that is where what was said last belongs. */
static int folder_of(char **out, const struct serve_options *options, struct error *err)
{
    const struct param_list *folders = &options->config_dirs;
    int bytes;

    if (options->config == NULL)
        return error_set(err, -ENOENT,
                         "the server was started without --config, so there is no configuration "
                         "that this could be written to");
    const char *slash = strrchr(options->config, '/');
    if (folders->count > 0)
        bytes = asprintf(out, "%s", folders->items[folders->count - 1]);
    else if (strcmp(options->config, CONFIG_FILE_DEFAULT) == 0)
        bytes = asprintf(out, "%s", FOLDER_OF_SYSTEM);
    else
        bytes = asprintf(out, "%.*sconf.d", slash == NULL ? 0 : (int)(slash - options->config) + 1,
                         options->config);
    return bytes < 0 ? error_no_memory(err, NULL) : 0;
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* One name of a file for each name of an export: what is not plain as %XX, and what is long with
 * FNV-1a of all of it. */
static void file_name(char out[4 * NAME_BYTES_MAX], const char *name)
{
    uint64_t sum = 0xcbf29ce484222325u;
    size_t used = 0, length = strlen(name);

    for (size_t i = 0; i < length; i++)
        sum = (sum ^ (uint8_t)name[i]) * 0x100000001b3u;
    for (size_t i = 0; i < length && used < NAME_BYTES_MAX; i++) {
        if (is_plain(name[i]))
            out[used++] = name[i];
        else
            used += (size_t)snprintf(out + used, 4, "%%%02x", (uint8_t)name[i]);
    }
    out[used] = '\0';
    if (used >= NAME_BYTES_MAX)
        snprintf(out + used, 20, "-%016llx", (unsigned long long)sum);
}

int drop_in_path(char **out, const struct serve_options *options, const char *name,
                 struct error *err)
{
    char file[4 * NAME_BYTES_MAX], *folder;
    int result = folder_of(&folder, options, err);

    if (result < 0)
        return result;
    file_name(file, name);
    if (asprintf(out, "%s/ctl-%s.conf", folder, file) < 0)
        result = error_no_memory(err, NULL);
    free(folder);
    return result;
}

/* ---- what ---- */

/* A line ends at its newline, is trimmed, and goes on behind a backslash. */
static bool fits_a_line(const char *value)
{
    size_t length = strlen(value);

    return length > 0 && utf8_is_clean(value) && value[0] != ' ' && value[length - 1] != ' ' &&
           value[length - 1] != '\\';
}

static int put_value(FILE *out, const struct param *row, const char *key, const char *value,
                     struct error *err)
{
    const char *secret = config_value_is_secret(row, value);

    if (secret != NULL)
        return error_set(err, -EINVAL, "%s: %s", key, secret);
    if (config_value_is_relative(row, value))
        return error_set(err, -EINVAL, "%s: write a whole path, from / on", key);
    if (!fits_a_line(value))
        return error_set(err, -EINVAL,
                         "%s: a line of a file can't have this value: it is empty, begins or ends "
                         "with a blank, ends with a backslash, or has control characters",
                         key);
    fprintf(out, "%s = %s\n", key, value);
    return 0;
}

static int put_option(FILE *out, const char *option, const char *value, struct error *err)
{
    const struct param *row = params_find(export_params, option);
    struct config_keys keys;

    config_keys_of(&keys, CONFIG_EXPORT);
    for (size_t i = 0; row != NULL && i < keys.count; i++)
        if (config_key_row(CONFIG_EXPORT, keys.rows[i].name) == row)
            return put_value(out, row, keys.rows[i].name, value, err);
    return error_set(err, -EINVAL, "%s can't be written into a file", option);
}

static int put_options(FILE *out, struct json_object *options, struct json_object *allow,
                       struct error *err)
{
    int result = 0;

    if (options != NULL) {
        json_object_object_foreach(options, name, value)
        {
            if (result == 0)
                result = put_option(out, name, json_object_get_string(value), err);
        }
    }
    if (allow != NULL && result == 0)
        fputs("allow =\n", out); /* and nobody whom another file lets in */
    for (size_t i = 0; allow != NULL && result == 0 && i < json_object_array_length(allow); i++)
        result = put_option(out, "allow",
                            json_object_get_string(json_object_array_get_idx(allow, i)), err);
    return result;
}

/* The name as a line can have it, whatever it is. */
static void put_name(FILE *out, const char *name)
{
    fputs("name = \"", out);
    for (; *name != '\0'; name++) {
        uint8_t byte = (uint8_t)*name;

        if (byte < ' ' || byte == 127 || byte == '"' || byte == '\\')
            fprintf(out, "\\x%02x", byte);
        else
            fputc(byte, out);
    }
    fputs("\"\n", out);
}

static int put_all(FILE *out, const char *name, const char *image, struct json_object *options,
                   struct json_object *allow, struct error *err)
{
    bool plain = fits_a_line(name) && strpbrk(name, "[]\"\\") == NULL;
    char label[4 * NAME_BYTES_MAX];

    file_name(label, name);
    fputs(mark, out);
    fprintf(out, "[export %s]\n", plain ? name : *label != '\0' ? label : "default");
    if (!plain)
        put_name(out, name);
    int result = put_value(out, config_key_row(CONFIG_EXPORT, "image"), "image", image, err);
    return result == 0 ? put_options(out, options, allow, err) : result;
}

int drop_in_text(char **out, const char *name, const char *image, struct json_object *options,
                 struct json_object *allow, struct error *err)
{
    size_t bytes;
    FILE *file;

    *out = NULL;
    file = open_memstream(out, &bytes);
    if (file == NULL)
        return error_no_memory(err, NULL);
    int result = put_all(file, name, image, options, allow, err);
    if (fclose(file) != 0 && result == 0)
        result = error_no_memory(err, NULL);
    if (result < 0) {
        free(*out);
        *out = NULL;
    }
    return result;
}

/* ---- the file ---- */

static int fail(struct error *err, const char *path)
{
    int result = -errno;

    return error_set(err, result, "'%s' can't be written: %s", path, strerror(-result));
}

static int write_all(int fd, const char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        ssize_t put = write(fd, text, left);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        text += put;
        left -= (size_t)put;
    }
    return fsync(fd);
}

static int sync_folder(int folder, const char *path, struct error *err)
{
    return fsync(folder) == 0 ? 0 : fail(err, path);
}

/* In a folder that is open; `file` is not there until all of it is durable. */
static int write_in(int folder, const char *file, const char *path, const char *text,
                    struct error *err)
{
    char draft[4 * NAME_BYTES_MAX + 32];
    int fd, result = 0;

    snprintf(draft, sizeof draft, ".%s.new", file);
    (void)unlinkat(folder, draft, 0); /* of one who was killed */
    fd = openat(folder, draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail(err, path);
    if (write_all(fd, text) < 0)
        result = fail(err, path);
    close(fd);
    if (result == 0 && linkat(folder, draft, folder, file, 0) != 0)
        result = fail(err, path);
    (void)unlinkat(folder, draft, 0);
    if (result < 0)
        return result;
    result = sync_folder(folder, path, err);
    if (result < 0) /* it is told as not written: so it must not be there at the next start */
        (void)unlinkat(folder, file, 0);
    return result;
}

/* -1, with errno; *file is what stands behind it. */
static int open_folder(const char *path, const char **file, bool make)
{
    const char *slash = strrchr(path, '/');
    char *folder = strndup(path, slash != NULL ? (size_t)(slash - path) : 0);
    int fd;

    *file = slash != NULL ? slash + 1 : path;
    if (folder == NULL)
        return -1;
    if (make)
        (void)mkdir(*folder != '\0' ? folder : "/", 0755);
    fd = open(slash == NULL     ? "."
              : *folder != '\0' ? folder
                                : "/",
              O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    return fd;
}

/* The next start would refuse the configuration for it. */
static int check_folder(int folder, const char *path, struct error *err)
{
    struct stat status;

    if (fstat(folder, &status) < 0)
        return fail(err, path);
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
        (status.st_uid == 0 || status.st_uid == geteuid()))
        return 0;
    return error_set(err, -EPERM,
                     "'%s' is not written: others may write in its folder, which no server reads "
                     "its configuration from; chown it, and chmod go-w it",
                     path);
}

int drop_in_write(const char *path, const char *text, struct error *err)
{
    const char *file;
    int folder = open_folder(path, &file, true), result;

    if (folder < 0)
        return fail(err, path);
    result = check_folder(folder, path, err);
    if (result == 0)
        result = write_in(folder, file, path, text, err);
    close(folder);
    return result;
}

bool drop_in_is_there(const char *path)
{
    char begin[sizeof mark];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool ours = fd >= 0 && read(fd, begin, sizeof mark - 1) == (ssize_t)sizeof mark - 1 &&
                memcmp(begin, mark, sizeof mark - 1) == 0;

    if (fd >= 0)
        close(fd);
    return ours;
}

bool drop_in_says(const char *path, const char *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    bool same = file != NULL;

    if (file == NULL && fd >= 0)
        close(fd);
    for (; same && *text != '\0'; text++)
        same = getc(file) == (uint8_t)*text;
    same = same && getc(file) == EOF && !ferror(file);
    if (file != NULL)
        (void)fclose(file);
    return same;
}

int drop_in_remove(const char *path, struct error *err)
{
    const char *file;
    int folder = open_folder(path, &file, false), result = 0;

    if (folder < 0 || unlinkat(folder, file, 0) != 0) {
        result = -errno;
        error_set(err, result, "'%s' can't be removed: %s", path, strerror(-result));
    } else {
        result = sync_folder(folder, path, err);
    }
    if (folder >= 0)
        close(folder);
    return result;
}
