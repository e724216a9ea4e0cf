#include "server/attach/attach-json.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/attach/attach-record.h"
#include "server/attach/nbd-device.h"
#include "server/control/control-json.h"

struct json_object *attach_json(unsigned index)
{
    static struct attach_record record;
    struct json_object *json = json_object_new_object();
    char device[32], backend[NBD_BACKEND_BYTES];
    pid_t supervisor = attach_record_supervisor(index);
    bool known =
        attach_record_read(&record, index, NULL) == 0 && attach_record_is_of(&record, index);

    snprintf(device, sizeof device, "/dev/nbd%u", index);
    nbd_device_backend(backend, index);
    control_add_text(json, "device", device);
    control_add_text(json, "name", known ? record.name : NULL);
    control_add_text(json, "source", known ? record.source : NULL);
    control_add_text(json, "uuid", known && record.uuid[0] != '\0' ? record.uuid : NULL);
    control_add_number(json, "size_bytes", nbd_device_size_bytes(index));
    control_add_flag(json, "read_only", nbd_device_is_read_only(index));
    control_add_text(json, "backend", backend);
    if (known) {
        control_add_number(json, "connections", record.connections);
        control_add_number(json, "dead_connections", record.dead);
    }
    if (supervisor > 0)
        control_add_number(json, "supervisor", (uint64_t)supervisor);
    else if (supervisor == 0)
        control_add(json, "supervisor", NULL);
    return json;
}

/* ---- all of them ---- */

struct indices {
    unsigned *values;
    size_t count, room;
};

static int collect(void *context, unsigned index)
{
    struct indices *indices = context;

    if (indices->count == indices->room) {
        size_t room = indices->room * 2 + 16;
        unsigned *larger = realloc(indices->values, room * sizeof *larger);

        if (larger == NULL)
            return -1;
        indices->values = larger;
        indices->room = room;
    }
    indices->values[indices->count++] = index;
    return 0;
}

static int compare(const void *a, const void *b)
{
    const unsigned *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

struct json_object *attach_json_all(void)
{
    struct json_object *all = json_object_new_array();
    struct indices indices = { .count = 0 };

    (void)nbd_device_each(collect, &indices);
    if (indices.count > 0)
        qsort(indices.values, indices.count, sizeof *indices.values, compare);
    for (size_t i = 0; i < indices.count; i++)
        control_append(all, attach_json(indices.values[i]));
    free(indices.values);
    return all;
}

void attach_json_print_one(unsigned index, bool json, bool changed)
{
    if (!json) {
        printf("/dev/nbd%u\n", index);
        return;
    }
    struct json_object *one = attach_json(index);
    control_add_flag(one, "changed", changed);
    puts(json_object_to_json_string_ext(one, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                 JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(one);
}
