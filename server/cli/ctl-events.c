#include "server/cli/ctl-events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/text-table.h"
#include "server/control/control-json.h"

/* In quotes that are not in it, where there are such. */
static void print_value(const char *key, const char *value)
{
    bool has_quote = strchr(value, '\'') != NULL;

    printf(" %s=%c", key, has_quote ? '"' : '\'');
    for (; *value != '\0'; value++) {
        if (has_quote && (*value == '"' || *value == '\\'))
            putchar('\\');
        putchar(*value);
    }
    putchar(has_quote ? '"' : '\'');
}

static void print_event(struct json_object *reply)
{
    static const char *const keys[] = { "export", "peer", "reason", "size_bytes" };
    struct json_object *event = control_member(reply, "event");
    int64_t lost = control_number(reply, "lost", 0);
    char cell[TEXT_CELL_BYTES];

    if (lost > 0)
        printf("(%lld events were lost)\n", (long long)lost);
    text_table_cell(cell, &(struct text_column){ .key = "time" }, event);
    printf("%s ", cell);
    text_table_cell(cell, &(struct text_column){ .key = "type" }, event);
    printf("%s", cell);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (control_member(event, keys[i]) == NULL)
            continue;
        text_table_cell(cell, &(struct text_column){ .key = keys[i] }, event);
        print_value(keys[i], cell);
    }
    printf("\n");
    fflush(stdout);
}

/* Until the server or the reader of this goes. */
int ctl_events(struct ctl *ctl)
{
    struct json_object *parameters = NULL;
    bool last = false;

    if (ctl->options.type != NULL)
        parameters = control_with("type", json_object_new_string(ctl->options.type));
    ctl->link.timeout_ms = CONTROL_FOR_EVER;
    int status = ctl_begin(ctl, "Events", parameters);
    while (status == EXIT_SUCCESS && !last && !ferror(stdout)) {
        struct json_object *reply;

        status = ctl_next(ctl, &reply, &last);
        if (status == EXIT_SUCCESS && ctl->options.json)
            ctl_print_json_line(json_object_get(reply));
        else if (status == EXIT_SUCCESS)
            print_event(reply);
        json_object_put(reply);
    }
    return status;
}
