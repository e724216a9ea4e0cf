/* Metadata of applications: byte for byte, under names of their own, within limits. */
#include <errno.h>

#include "server/export/export-metadata.h"
#include "tests/support/check.h"

static struct export_metadata metadata;
static struct error err;

static int set(const char *name_space, const char *value)
{
    return export_metadata_set(&metadata, name_space, value, strlen(value), &err);
}

static void value_is(const char *name_space, const char *value)
{
    const struct metadata_item *item = export_metadata_find(&metadata, name_space);

    EXPECT(item != NULL && item->value_bytes == strlen(value));
    EXPECT_TEXT(item->value, value);
}

static void kept(void)
{
    const char *json = "{ \"b\": 1,\n\t\"a\" : [1.10, \"\\u00e9\"], \"b\" : 2 }\n";

    EXPECT(set("org.example.app", json) == 0);
    EXPECT(set("https://example.org/ns#x", "  any text \xc3\xa9\x1b\n") == 0);
    EXPECT(set("a.b", "") == 0);
    value_is("org.example.app", json);
    value_is("https://example.org/ns#x", "  any text \xc3\xa9\x1b\n");
    value_is("a.b", "");
    EXPECT(set("org.example.app", "[no object") == 0);
    value_is("org.example.app", "[no object");
    EXPECT(metadata.count == 3 && export_metadata_find(&metadata, "org.example.ap") == NULL);
}

static void equal(void)
{
    struct export_metadata other = { 0 };

    EXPECT(!export_metadata_equal(&metadata, &other) && !export_metadata_equal(&other, &metadata));
    for (size_t i = metadata.count; i-- > 0;)
        EXPECT(export_metadata_set(&other, metadata.items[i].name_space, metadata.items[i].value,
                                   metadata.items[i].value_bytes, NULL) == 0);
    EXPECT(export_metadata_equal(&metadata, &other));
    EXPECT(export_metadata_set(&other, "a.b", " ", 1, NULL) == 0);
    EXPECT(!export_metadata_equal(&metadata, &other));
    EXPECT(export_metadata_remove(&other, "a.b") && !export_metadata_remove(&other, "a.b"));
    EXPECT(other.count == 2 && !export_metadata_equal(&other, &metadata));
    export_metadata_free(&other);
}

static void refused(int result, const char *name_space, const char *value, const char *words)
{
    int got = set(name_space, value);

    if (got == 0)
        EXPECT_TEXT(value, words);
    EXPECT(got == result);
    if (strstr(err.text, words) == NULL)
        EXPECT_TEXT(err.text, words);
}

static void names(void)
{
    char name[METADATA_NAMESPACE_BYTES_MAX + 2];

    refused(-EINVAL, "", "x", "a namespace is a domain backwards");
    refused(-EINVAL, "nova", "x", "such as org.example.app");
    refused(-EINVAL, "org. example", "x", "without blanks");
    refused(-EINVAL, "org.a=b", "x", "without blanks and '='");
    refused(-EINVAL, "org.\x01", "x", "a namespace is");
    memset(name, '.', sizeof name);
    name[sizeof name - 1] = '\0';
    refused(-EINVAL, name, "x", "the namespace has 256 bytes: the most is 255");
    name[sizeof name - 2] = '\0';
    EXPECT(set(name, "x") == 0 && export_metadata_remove(&metadata, name));
}

static void values(void)
{
    refused(-EINVAL, "org.x", "\xff", "not valid UTF-8");
    EXPECT(export_metadata_set(&metadata, "org.x", "a\0b", 3, &err) == -EINVAL);
    refused(-EINVAL, "org.x", "{\"a\": 1", "not one JSON object: it ends too early at byte 7");
    refused(-EINVAL, "org.x", " {\"a\": 1} x", "not one JSON object");
    refused(-EINVAL, "org.x", "{a: 1}", "not one JSON object");
    refused(-EINVAL, "org.x", "{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", "not one JSON object");
    EXPECT(export_metadata_find(&metadata, "org.x") == NULL);
}

static void limits(void)
{
    char *value = malloc(METADATA_VALUE_BYTES_MAX + 2), name[32];

    EXPECT(value != NULL);
    export_metadata_free(&metadata);
    memset(value, 'x', METADATA_VALUE_BYTES_MAX + 1);
    value[METADATA_VALUE_BYTES_MAX + 1] = '\0';
    refused(-E2BIG, "a.0", value, "the value has 16385 bytes: the most is 16384");
    value[METADATA_VALUE_BYTES_MAX] = '\0';
    for (int i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof name, "a.%d", i);
        EXPECT(set(name, value) == 0);
    }
    /* 3 names of 3 bytes, and the fourth: 65,536 - 12 are left for its value. */
    refused(-E2BIG, "a.3", value, "would have 65548 bytes: the most is 65536");
    value[METADATA_VALUE_BYTES_MAX - 11] = '\0';
    refused(-E2BIG, "a.3", value, "would have 65537 bytes");
    value[METADATA_VALUE_BYTES_MAX - 12] = '\0';
    EXPECT(set("a.3", value) == 0);
    EXPECT(set("a.3", value) == 0);
    export_metadata_free(&metadata);
    for (unsigned i = 0; i < METADATA_NAMESPACES_MAX; i++) {
        (void)snprintf(name, sizeof name, "a.%u", i);
        EXPECT(set(name, "x") == 0);
    }
    refused(-E2BIG, "a.x", "x", "16 namespaces");
    EXPECT(set("a.7", "y") == 0);
    export_metadata_free(&metadata);
    free(value);
}

static const struct check checks[] = {
    { "values are kept byte for byte", kept },
    { "what is equal is found out", equal },
    { "a name belongs to an application", names },
    { "what is no UTF-8, or pretends to be JSON, is refused", values },
    { "the limits are where they are said to be", limits },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
