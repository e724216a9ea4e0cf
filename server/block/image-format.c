#include "server/block/image-format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/block/image-query.h"
#include "server/block/qcow2-stage.h"

#define FIELD(name) offsetof(struct image_format, name)

static const struct param format_params[] = {
    PARAM("format", STRING, "FORMAT", format, "what the image is", .choices = "raw|qcow2"),
    PARAM("snapshot", STRING, "NAME", snapshot, "the disk as it was then"),
    PARAM("corrupt", STRING, "MODE", corrupt, "read it although it is marked as corrupt",
          .choices = "allow"),
    { .name = NULL },
};

char *image_format_question(const char *path)
{
    return image_query_question(path, format_params);
}

static int check(struct image_format *format, struct error *err)
{
    const char *name = format->format;

    if (name != NULL && strcmp(name, "raw") != 0 && strcmp(name, "qcow2") != 0)
        return error_set(err, -EINVAL, "format=%s is not known: there are raw and qcow2", name);
    format->qcow2 = name != NULL && strcmp(name, "qcow2") == 0;
    if (!format->qcow2 && (format->snapshot != NULL || format->corrupt != NULL))
        return error_set(err, -EINVAL, "%s= is for format=qcow2",
                         format->snapshot != NULL ? "snapshot" : "corrupt");
    if (format->corrupt != NULL && strcmp(format->corrupt, "allow") != 0)
        return error_set(err, -EINVAL, "corrupt= can be allow, not '%s'", format->corrupt);
    return 0;
}

int image_format_parse(struct image_format *out, char *query, struct error *err)
{
    bool given = false;

    *out = (struct image_format){ .given = false };
    int result = image_query_take(out, &given, &out->kept, format_params, query, err);
    out->given = given;
    return result == 0 ? check(out, err) : result;
}

void image_format_free(struct image_format *format)
{
    free(format->kept);
    format->kept = NULL;
}

int image_format_add(struct stage **stage, const struct image_format *format, const char *name,
                     const struct image_options *options, struct error *err)
{
    const struct qcow2_settings settings = {
        .name = name,
        .snapshot = format->snapshot,
        .force = format->corrupt != NULL,
        .offload = options->offload,
    };

    if (!format->qcow2)
        return 0;
    int result = qcow2_stage_create(stage, *stage, &settings, err);
    const char *backing = result == 0 ? qcow2_stage_backing(*stage) : NULL;
    if (backing != NULL)
        return error_set(err, -EPERM,
                         "it has the backing file '%s', which is not opened, for who made the "
                         "image could name any file (qemu-img convert makes an image of the two)",
                         backing);
    return result;
}
