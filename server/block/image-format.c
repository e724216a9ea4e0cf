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
    PARAM("backing", STRING, "IMAGE", backing, "its backing file, or allow: the one that it names"),
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
    const char *others = format->snapshot != NULL  ? "snapshot"
                         : format->backing != NULL ? "backing"
                         : format->corrupt != NULL ? "corrupt"
                                                   : NULL;
    if (!format->qcow2 && others != NULL)
        return error_set(err, -EINVAL, "%s= is for format=qcow2", others);
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

    return format->qcow2 ? qcow2_stage_create(stage, *stage, &settings, err) : 0;
}

/* ---- backing files ---- */

/* A name without a folder, which can't lead anywhere else. */
static int name_backing(char **out, const char *path, const struct stage *stage, struct error *err)
{
    const char *name = qcow2_stage_backing(stage), *format = qcow2_stage_backing_format(stage);
    const char *slash = strrchr(path, '/');
    int folder_bytes = slash != NULL ? (int)(slash + 1 - path) : 0;
    const char *ours = NULL;

    if (strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return error_set(err, -EPERM,
                         "its backing file '%s' is not named as one in its own folder, and only "
                         "such a one is opened by backing=allow; name it by backing=IMAGE",
                         name);
    if (strcmp(format, "raw") == 0)
        ours = "raw";
    if (strcmp(format, "qcow2") == 0 || strcmp(format, "qcow") == 0)
        ours = "qcow2&backing=allow";
    if (ours == NULL)
        return error_set(err, -EPERM,
                         "its header does not say that its backing file '%s' is raw or qcow2 (%s), "
                         "and what is in that can't tell; name it by backing=IMAGE",
                         name, format[0] != '\0' ? format : "nothing");
    if (asprintf(out, "file:%.*s%s?format=%s", folder_bytes, path, name, ours) < 0)
        return error_no_memory(err, NULL);
    return 0;
}

int image_format_backing(char **out, const struct image_format *format, const char *path,
                         const struct stage *stage, struct error *err)
{
    const char *name = format->qcow2 ? qcow2_stage_backing(stage) : NULL;
    bool allow = format->backing != NULL && strcmp(format->backing, "allow") == 0;

    *out = NULL;
    if (name == NULL && format->backing != NULL && !allow)
        return error_set(err, -EINVAL, "it has no backing file: leave out backing=");
    if (name == NULL)
        return 0;
    if (format->backing == NULL)
        return error_set(err, -EPERM,
                         "it has the backing file '%s', which is not opened unasked, for who made "
                         "the image could name any file: backing=allow opens it where it is in the "
                         "same folder, and backing=IMAGE names it",
                         name);
    if (allow && path == NULL)
        return error_set(err, -EINVAL,
                         "backing=allow is for images that are files, opened by their names; name "
                         "the backing file by backing=IMAGE");
    if (allow)
        return name_backing(out, path, stage, err);
    *out = strdup(format->backing);
    return *out != NULL ? 0 : error_no_memory(err, NULL);
}

int image_format_set_backing(struct stage *stage, struct stage *backing, struct error *err)
{
    if (qcow2_stage_crypt(backing) != QCOW2_CRYPT_NONE)
        return error_set(err, -ENOTSUP,
                         "its backing file is encrypted by QEMU, and only one that is not is read");
    qcow2_stage_set_backing(stage, backing);
    return 0;
}
