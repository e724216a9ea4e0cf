#include "server/export/export-metadata.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "server/base/utf8.h"

/* ---- what is taken ---- */

/* With a dot or a colon in it, so that two applications do not hit upon the same. */
static int check_name(const char *name, struct error *err)
{
    size_t bytes = strlen(name);

    if (bytes > METADATA_NAMESPACE_BYTES_MAX)
        return error_set(err, -EINVAL, "the namespace has %zu bytes: the most is %u", bytes,
                         METADATA_NAMESPACE_BYTES_MAX);
    if (!utf8_is_clean(name) || strpbrk(name, " =") != NULL || strpbrk(name, ".:") == NULL)
        return error_set(err, -EINVAL,
                         "a namespace is a domain backwards, such as org.example.app, or a URI, "
                         "without blanks and '='");
    return 0;
}

static const char *json_problem(struct json_tokener *tokener)
{
    enum json_tokener_error error = json_tokener_get_error(tokener);

    return error == json_tokener_continue ? "it ends too early" : json_tokener_error_desc(error);
}

static int check_json(const char *value, size_t bytes, struct error *err)
{
    struct json_tokener *tokener = json_tokener_new_ex(METADATA_JSON_DEPTH_MAX);
    struct json_object *object;
    int result = 0;

    if (tokener == NULL)
        return error_no_memory(err, "for metadata");
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    object = json_tokener_parse_ex(tokener, value, (int)bytes);
    size_t end = json_tokener_get_parse_end(tokener);
    end += strspn(value + end, " \t\r\n");
    if (object == NULL || end != bytes)
        result =
            error_set(err, -EINVAL, "it begins with '{' and is not one JSON object: %s at byte %zu",
                      object != NULL ? "something follows it" : json_problem(tokener), end);
    json_object_put(object);
    json_tokener_free(tokener);
    return result;
}

/* Controls are as good as others here: an application may keep several lines. */
static bool is_utf8(const char *text, size_t left)
{
    while (left > 0) {
        bool control = (unsigned char)*text < ' ' || *text == 0x7f;
        size_t bytes = control ? *text != '\0' : utf8_character_bytes(text, left);

        if (bytes == 0)
            return false;
        text += bytes;
        left -= bytes;
    }
    return true;
}

static int check_value(const char *value, size_t bytes, struct error *err)
{
    size_t first = strspn(value, " \t\r\n");

    if (bytes > METADATA_VALUE_BYTES_MAX)
        return error_set(err, -E2BIG, "the value has %zu bytes: the most is %u", bytes,
                         METADATA_VALUE_BYTES_MAX);
    if (!is_utf8(value, bytes))
        return error_set(err, -EINVAL, "the value has a zero byte, or is not valid UTF-8");
    return value[first] == '{' ? check_json(value, bytes, err) : 0;
}

static size_t item_bytes(const struct metadata_item *item)
{
    return strlen(item->name_space) + item->value_bytes;
}

/* With this item in the place of `replaced`, which may be NULL. */
static int check_room(const struct export_metadata *metadata, const struct metadata_item *item,
                      const struct metadata_item *replaced, struct error *err)
{
    size_t bytes = item_bytes(item);

    for (size_t i = 0; i < metadata->count; i++)
        if (&metadata->items[i] != replaced)
            bytes += item_bytes(&metadata->items[i]);
    if (replaced == NULL && metadata->count == METADATA_NAMESPACES_MAX)
        return error_set(err, -E2BIG, "the export has metadata in %u namespaces, which is the most",
                         METADATA_NAMESPACES_MAX);
    if (bytes > METADATA_ALL_BYTES_MAX)
        return error_set(err, -E2BIG,
                         "the metadata of the export would have %zu bytes: the most is %u", bytes,
                         METADATA_ALL_BYTES_MAX);
    return 0;
}

/* ---- the list ---- */

static struct metadata_item *find(const struct export_metadata *metadata, const char *name_space)
{
    for (size_t i = 0; i < metadata->count; i++)
        if (strcmp(metadata->items[i].name_space, name_space) == 0)
            return &metadata->items[i];
    return NULL;
}

static void free_item(struct metadata_item *item)
{
    free(item->name_space);
    free(item->value);
}

/* Over `replaced`, or behind the others. */
static int put(struct export_metadata *metadata, struct metadata_item *item,
               struct metadata_item *replaced)
{
    if (replaced == NULL) {
        struct metadata_item *items =
            reallocarray(metadata->items, metadata->count + 1, sizeof *items);

        if (items == NULL)
            return -ENOMEM;
        metadata->items = items;
        items[metadata->count++] = *item;
        return 0;
    }
    free_item(replaced);
    *replaced = *item;
    return 0;
}

int export_metadata_set(struct export_metadata *metadata, const char *name_space, const char *value,
                        size_t value_bytes, struct error *err)
{
    struct metadata_item item = { .value_bytes = value_bytes },
                         *replaced = find(metadata, name_space);
    int result = check_name(name_space, err);

    if (result != 0)
        return result;
    item.name_space = strdup(name_space);
    item.value = malloc(value_bytes + 1);
    if (item.name_space == NULL || item.value == NULL) {
        result = error_no_memory(err, "for metadata");
    } else {
        memcpy(item.value, value, value_bytes);
        item.value[value_bytes] = '\0';
        result = check_value(item.value, value_bytes, err);
    }
    if (result == 0)
        result = check_room(metadata, &item, replaced, err);
    if (result == 0 && put(metadata, &item, replaced) != 0)
        result = error_no_memory(err, "for metadata");
    if (result != 0)
        free_item(&item);
    return result;
}

const struct metadata_item *export_metadata_find(const struct export_metadata *metadata,
                                                 const char *name_space)
{
    return find(metadata, name_space);
}

bool export_metadata_remove(struct export_metadata *metadata, const char *name_space)
{
    struct metadata_item *item = find(metadata, name_space);

    if (item == NULL)
        return false;
    free_item(item);
    memmove(item, item + 1, (size_t)(metadata->items + metadata->count - item - 1) * sizeof *item);
    metadata->count--;
    return true;
}

bool export_metadata_equal(const struct export_metadata *a, const struct export_metadata *b)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct metadata_item *one = &a->items[i], *other = find(b, one->name_space);

        if (other == NULL || one->value_bytes != other->value_bytes ||
            memcmp(one->value, other->value, one->value_bytes) != 0)
            return false;
    }
    return a->count == b->count;
}

void export_metadata_free(struct export_metadata *metadata)
{
    for (size_t i = 0; i < metadata->count; i++)
        free_item(&metadata->items[i]);
    free(metadata->items);
    *metadata = (struct export_metadata){ 0 };
}
