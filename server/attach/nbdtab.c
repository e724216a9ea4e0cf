#include "server/attach/nbdtab.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/file-io.h"

#define BLANKS " \t\r\n"
#define PATH_BYTES 4096u
#define SHOWN_BYTES 80

/* ---- a line ---- */

/* Of it, without its end, in a sentence. */
static int shown_bytes(const char *line)
{
    size_t length_bytes = strcspn(line, "\r\n");

    return length_bytes < SHOWN_BYTES ? (int)length_bytes : SHOWN_BYTES;
}

int nbdtab_parse(struct nbdtab_line *out, const char *line, struct error *err)
{
    char *rest = NULL;

    *out = (struct nbdtab_line){ .text = strdup(line) };
    if (out->text == NULL)
        return error_no_memory(err, NULL);
    char *name = strtok_r(out->text, BLANKS, &rest);
    if (name == NULL || name[0] == '#') {
        nbdtab_free(out);
        return 0;
    }
    out->name = name;
    out->source = strtok_r(NULL, BLANKS, &rest);
    out->options = strtok_r(NULL, BLANKS, &rest);
    const char *more = strtok_r(NULL, BLANKS, &rest);
    if (out->source != NULL && more == NULL)
        return 1;
    int result = error_set(err, -EINVAL,
                           "'%.*s': a line is NAME, EXPORT or URI, and options with "
                           "commas between them",
                           shown_bytes(line), line);
    nbdtab_free(out);
    return result;
}

int nbdtab_options(struct attach_options *options, struct nbdtab_line *line, struct error *err)
{
    int result = 0;

    if (line->options != NULL)
        result = params_parse_pairs(options, attach_tab_params, line->options, ',', err);
    if (result == 0)
        result = attach_options_check(options, err);
    if (result < 0)
        error_prefix(err, "'%.80s': ", line->name);
    return result;
}

void nbdtab_free(struct nbdtab_line *line)
{
    free(line->text);
    *line = (struct nbdtab_line){ .text = NULL };
}

/* ---- the file ---- */

static FILE *open_tab(const char *path, int *result, struct error *err)
{
    FILE *file = fopen(path, "re");

    *result = file != NULL || errno == ENOENT
                  ? 0
                  : error_set(err, -errno, "%s can't be read: %s", path, strerror(errno));
    return file;
}

static bool is_of(const char *line, const char *name)
{
    size_t length = strlen(name);

    line += strspn(line, BLANKS);
    return strncmp(line, name, length) == 0 && strchr(BLANKS, line[length]) != NULL;
}

/* A line that is wrong is nothing to those of other names: whoever attaches that one is told. */
static int parse_of(struct nbdtab_line *out, const char *line, const char *name, struct error *err)
{
    int result = nbdtab_parse(out, line, err);

    return result == -EINVAL && !is_of(line, name) ? 0 : result;
}

int nbdtab_find(struct nbdtab_line *out, const char *path, const char *name, struct error *err)
{
    char *line = NULL;
    size_t room_bytes = 0;
    unsigned number = 0;
    int result;
    FILE *file = open_tab(path, &result, err);
    bool found = false;

    while (file != NULL && !found && result >= 0 && getline(&line, &room_bytes, file) > 0) {
        number++;
        result = parse_of(out, line, name, err);
        if (result < 0)
            error_prefix(err, "%s:%u: ", path, number);
        found = result == 1 && strcmp(out->name, name) == 0;
        if (result == 1 && !found)
            nbdtab_free(out);
    }
    free(line);
    if (file != NULL)
        (void)fclose(file);
    return result < 0 ? result : found;
}

/* What is not as by default. */
static void print_options(FILE *file, const struct attach_options *options)
{
    const struct attach_options *usual = &attach_options_default;
    const struct {
        const char *name;
        unsigned value, usual;
    } numbers[] = {
        { "connections", options->connections, usual->connections },
        { "timeout", options->timeout_seconds, usual->timeout_seconds },
        { "dead-timeout", options->dead_timeout_seconds, usual->dead_timeout_seconds },
        { "block-size", options->block_bytes, usual->block_bytes },
        { "wait", options->wait_seconds, usual->wait_seconds },
    };
    const struct {
        const char *name;
        bool value;
    } flags[] = { { "read-only", options->read_only },
                  { "tls-proxy", options->tls_proxy },
                  { "noauto", options->no_auto } };
    const char *before = " ";

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i].value != numbers[i].usual) {
            if (numbers[i].value == 0)
                fprintf(file, "%s%s=off", before, numbers[i].name);
            else
                fprintf(file, "%s%s=%u", before, numbers[i].name, numbers[i].value);
            before = ",";
        }
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (flags[i].value) {
            fprintf(file, "%s%s", before, flags[i].name);
            before = ",";
        }
    if (options->device != NULL)
        fprintf(file, "%sdevice=%s", before, options->device);
    if (options->socket != NULL)
        fprintf(file, "%ssocket=%s", options->device != NULL ? "," : before, options->socket);
}

/* Lines that are not of this name, as they are; a line that is wrong stays, too. */
static void copy_others(FILE *to, FILE *from, const char *name)
{
    char *line = NULL;
    size_t room_bytes = 0;
    ssize_t length;

    while ((length = getline(&line, &room_bytes, from)) > 0) {
        struct nbdtab_line cut;
        int result = nbdtab_parse(&cut, line, NULL);

        if (result != 1 || strcmp(cut.name, name) != 0) {
            (void)fwrite(line, 1, (size_t)length, to);
            if (line[length - 1] != '\n')
                (void)fputc('\n', to);
        }
        if (result == 1)
            nbdtab_free(&cut);
    }
    free(line);
}

static bool write_new(int fd, FILE *from, const char *name, const char *source,
                      const struct attach_options *options)
{
    FILE *file = fdopen(fd, "we");

    if (file == NULL) {
        close(fd);
        return false;
    }
    if (from != NULL)
        copy_others(file, from, name);
    if (source != NULL) {
        fprintf(file, "%s %s", name, source);
        print_options(file, options);
        fprintf(file, "\n");
    }
    bool written =
        fflush(file) == 0 && ferror(file) == 0 && fchmod(fd, 0644) == 0 && fsync(fd) == 0;
    return fclose(file) == 0 && written;
}

static int replace(const char *path, FILE *from, const char *name, const char *source,
                   const struct attach_options *options, struct error *err)
{
    char new_path[PATH_BYTES], real[PATH_BYTES];

    /* Where it is a link, what that leads to is written. */
    if (realpath(path, real) != NULL)
        path = real;
    snprintf(new_path, sizeof new_path, "%.4000s.XXXXXX", path);
    int fd = mkostemp(new_path, O_CLOEXEC);
    if (fd < 0)
        return error_set(err, -errno, "%s can't be written: %s", path, strerror(errno));
    if (!write_new(fd, from, name, source, options) || rename(new_path, path) != 0) {
        int result = error_set(err, -EIO, "%s can't be written: %s", path, strerror(errno));

        (void)unlink(new_path);
        return result;
    }
    int result = file_io_sync_name(path);
    return result == 0 ? 0
                       : error_set(err, result, "%s is written, and may be lost with the power: %s",
                                   path, strerror(-result));
}

/* They stand there as they are. */
static int check_values(const char *path, const struct attach_options *options, struct error *err)
{
    const char *const values[] = { options->socket, options->device };

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        if (values[i] != NULL && strpbrk(values[i], BLANKS ",") != NULL)
            return error_set(err, -EINVAL, "'%.200s' has a blank or a comma, and can't stand in %s",
                             values[i], path);
    return 0;
}

int nbdtab_put(const char *path, const char *name, const char *source,
               const struct attach_options *options, struct error *err)
{
    int result = source != NULL ? check_values(path, options, err) : 0;

    if (result < 0)
        return result;
    if (name[strcspn(name, BLANKS)] != '\0' || name[0] == '#' ||
        (source != NULL && source[strcspn(source, BLANKS)] != '\0'))
        return error_set(err, -EINVAL,
                         "a name with a blank, or that begins with #, can't stand in %s: give "
                         "another one by --name",
                         path);
    FILE *from = open_tab(path, &result, err);
    if (result == 0 && (from != NULL || source != NULL))
        result = replace(path, from, name, source, options, err);
    if (from != NULL)
        (void)fclose(from);
    return result;
}
