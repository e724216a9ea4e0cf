#include "server/control/control-json.h"

#include <stdio.h>

#include "server/control/varlink-message.h"

void control_add(struct json_object *to, const char *key, struct json_object *value)
{
    if (to == NULL || json_object_object_add(to, key, value) != 0)
        json_object_put(value);
}

void control_append(struct json_object *to, struct json_object *value)
{
    if (to == NULL || json_object_array_add(to, value) != 0)
        json_object_put(value);
}

void control_add_text(struct json_object *to, const char *key, const char *text)
{
    control_add(to, key, varlink_text(text));
}

void control_add_number(struct json_object *to, const char *key, uint64_t number)
{
    control_add(to, key, json_object_new_uint64(number));
}

void control_add_flag(struct json_object *to, const char *key, bool flag)
{
    control_add(to, key, json_object_new_boolean(flag));
}

void control_add_time(struct json_object *to, const char *key, const struct timespec *time)
{
    char text[sizeof "2026-11-29T16:40:01" + 8];
    struct tm parts;

    if (gmtime_r(&time->tv_sec, &parts) == NULL)
        return;
    size_t used = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + used, sizeof text - used, ".%03dZ", (int)(time->tv_nsec / 1000000) % 1000);
    control_add_text(to, key, text);
}

struct json_object *control_with(const char *key, struct json_object *value)
{
    struct json_object *json = json_object_new_object();

    control_add(json, key, value);
    return json;
}

struct json_object *control_member(struct json_object *from, const char *key)
{
    struct json_object *found = NULL;

    return json_object_object_get_ex(from, key, &found) ? found : NULL;
}

const char *control_text(struct json_object *from, const char *key)
{
    return varlink_string(control_member(from, key));
}

bool control_flag(struct json_object *from, const char *key)
{
    return json_object_get_boolean(control_member(from, key));
}

int64_t control_number(struct json_object *from, const char *key, int64_t otherwise)
{
    struct json_object *value = control_member(from, key);

    return json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : otherwise;
}
