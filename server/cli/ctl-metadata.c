#include "server/cli/ctl-metadata.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/base/file-io.h"
#include "server/base/log.h"
#include "server/cli/command-line.h"
#include "server/cli/text-table.h"
#include "server/control/control-json.h"
#include "server/export/export-metadata.h"

static void print_name(struct json_object *name)
{
    char cell[TEXT_CELL_BYTES];

    text_table_cell(cell, &(struct text_column){ .key = "name" }, name);
    puts(cell);
}

/* A value is printed as it is; without a namespace, the names of all. */
static int get_metadata(struct ctl *ctl)
{
    const char *name_space = ctl->other_count > 1 ? ctl->others[1] : NULL;
    struct json_object *parameters = control_with("name", json_object_new_string(ctl->others[0]));
    struct json_object *reply, *value;

    if (name_space != NULL)
        control_add_text(parameters, "namespace", name_space);
    int status = ctl_call(ctl, "GetMetadata", parameters, &reply);
    struct json_object *all = control_member(reply, "metadata");

    value = name_space != NULL ? control_member(all, name_space) : NULL;
    if (status == EXIT_SUCCESS && name_space != NULL && value == NULL) {
        log_error("there is no metadata '%.300s'", name_space);
        status = EXIT_FAILURE;
    } else if (status == EXIT_SUCCESS && ctl->options.json) {
        ctl_print_json(json_object_get(all));
    } else if (status == EXIT_SUCCESS && value != NULL) {
        fputs(json_object_get_string(value), stdout);
    } else if (status == EXIT_SUCCESS) {
        json_object_object_foreach(all, key, unused)
        {
            struct json_object *name = control_with("name", json_object_new_string(key));

            (void)unused;
            print_name(name);
            json_object_put(name);
        }
    }
    json_object_put(reply);
    return status;
}

/* Of a file, or standard input. */
static int read_value(const char *path, char *out, size_t room_bytes, size_t *length_bytes)
{
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    int result = fd < 0 ? -errno : file_io_read(fd, out, room_bytes, length_bytes);

    if (fd > STDERR_FILENO)
        close(fd);
    if (result < 0)
        log_error("%s: %s", path != NULL ? path : "standard input", strerror(-result));
    return result;
}

static int set_metadata(struct ctl *ctl)
{
    static char value[METADATA_VALUE_BYTES_MAX + 1];
    struct json_object *parameters;
    size_t length_bytes = 0;

    if (read_value(ctl->other_count > 2 ? ctl->others[2] : NULL, value, sizeof value,
                   &length_bytes) < 0)
        return EXIT_FAILURE;
    parameters = control_with("name", json_object_new_string(ctl->others[0]));
    control_add_text(parameters, "namespace", ctl->others[1]);
    control_add(parameters, "value", json_object_new_string_len(value, (int)length_bytes));
    return ctl_change(ctl, "SetMetadata", parameters);
}

static int remove_metadata(struct ctl *ctl)
{
    struct json_object *parameters = control_with("name", json_object_new_string(ctl->others[0]));

    control_add_text(parameters, "namespace", ctl->others[1]);
    return ctl_change(ctl, "SetMetadata", parameters);
}

int ctl_metadata(struct ctl *ctl)
{
    static const struct {
        const char *name;
        int least, most; /* operands behind it */
        int (*run)(struct ctl *ctl);
    } verbs[] = { { "get", 1, 2, get_metadata },
                  { "set", 2, 3, set_metadata },
                  { "remove", 2, 2, remove_metadata } };

    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verbs[i].name, ctl->operand) == 0 && ctl->other_count >= verbs[i].least &&
            ctl->other_count <= verbs[i].most)
            return verbs[i].run(ctl);
    log_error("write: nbdcrypt ctl metadata get NAME [NAMESPACE], set NAME NAMESPACE [FILE], or "
              "remove NAME NAMESPACE");
    return EXIT_USAGE;
}
