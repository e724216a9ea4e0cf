/* nbdcrypt map: see command-map.h. */
#include "server/copy/command-map.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "server/base/log.h"
#include "server/block/lock-params.h"
#include "server/copy/copy-end.h"
#include "server/copy/copy-extents.h"
#include "server/loop/offload.h"

struct map_arguments {
    struct copy_end_arguments image;
    struct lock_terms terms;
    const char *context; /* NULL: base:allocation */
    bool json;
    bool help;
};

#define FIELD(name) offsetof(struct map_arguments, name)

static const struct param map_params[] = {
    COPY_END_ROWS("", "format", struct map_arguments, image, "IMAGE"),
    PARAM("context", STRING, "NAME", context,
          "show what a remote server tells of this metadata context"),
    PARAM("json", FLAG, NULL, json, "print JSON, as qemu-img map does"),
    LOCK_ROWS(struct map_arguments, terms),
    PARAM("help", FLAG, NULL, help, "show this help", .letter = 'h'),
    { .name = NULL },
};

/* ---- printing ---- */

struct printer {
    bool json;
    const char *context; /* NULL: base:allocation */
    bool offsets;        /* the bytes lie in the file where they lie on the disk */
    uint64_t count;
};

static void print_json(const struct printer *printer, uint64_t start_bytes,
                       const struct extent *extent)
{
    bool hole = (extent->flags & EXTENT_HOLE) != 0, zero = (extent->flags & EXTENT_ZERO) != 0;

    printf("%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64
           ", \"depth\": 0, \"present\": true, \"zero\": %s, \"data\": %s",
           printer->count == 0 ? "[" : ",\n", start_bytes, extent->length_bytes,
           zero ? "true" : "false", hole || zero ? "false" : "true");
    if (printer->offsets)
        printf(", \"offset\": %" PRIu64, start_bytes);
    printf("}");
}

/* A hole of a volume whose zeros are encrypted, too, reads as noise. */
static const char *what(uint64_t flags)
{
    switch (flags & (EXTENT_HOLE | EXTENT_ZERO)) {
    case EXTENT_HOLE | EXTENT_ZERO:
        return "hole";
    case EXTENT_ZERO:
        return "zeros";
    case EXTENT_HOLE:
        return "hole that does not read as zeros";
    default:
        return "data";
    }
}

/* What it means, the namespace of the context says. */
static void print_value(const struct printer *printer, uint64_t start_bytes,
                        const struct extent *extent)
{
    if (printer->json) {
        printf("%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64 ", \"value\": %" PRIu64 "}",
               printer->count == 0 ? "[" : ",\n", start_bytes, extent->length_bytes, extent->flags);
        return;
    }
    if (printer->count == 0)
        printf("%20s%20s  %s\n", "OFFSET", "LENGTH", "VALUE");
    printf("%20" PRIu64 "%20" PRIu64 "  %" PRIu64 "\n", start_bytes, extent->length_bytes,
           extent->flags);
}

static void print(struct printer *printer, uint64_t start_bytes, const struct extent *extent)
{
    if (printer->context != NULL) {
        print_value(printer, start_bytes, extent);
    } else if (printer->json) {
        print_json(printer, start_bytes, extent);
    } else {
        if (printer->count == 0)
            printf("%20s%20s  %s\n", "OFFSET", "LENGTH", "WHAT");
        printf("%20" PRIu64 "%20" PRIu64 "  %s\n", start_bytes, extent->length_bytes,
               what(extent->flags));
    }
    printer->count++;
}

/* Neighbours that say the same are one. */
static void print_all(struct printer *printer, struct copy_extents *extents)
{
    uint64_t start_bytes = 0;
    struct extent last = copy_extents_next(extents);

    while (last.length_bytes > 0) {
        struct extent next = copy_extents_next(extents);

        if (next.length_bytes > 0 && next.flags == last.flags) {
            last.length_bytes += next.length_bytes;
            continue;
        }
        print(printer, start_bytes, &last);
        start_bytes += last.length_bytes;
        last = next;
    }
    if (printer->json)
        printf("%s]\n", printer->count == 0 ? "[" : "");
}

/* ---- the command ---- */

/* It is a plain file, all of it. */
static bool lies_as_it_is(struct stage *top)
{
    const struct stage *image =
        top->below != NULL && strcmp(top->ops->name, "align") == 0 ? top->below : top;

    return image->below == NULL && strcmp(image->ops->name, "file") == 0;
}

/* Its number. -ENOENT: it is not there. */
static int find_context(unsigned *out, const struct copy_end *end, const char *name,
                        struct error *err)
{
    *out = meta_contexts_find(end->ex.contexts, name, strlen(name));
    if (*out != 0)
        return 0;
    return error_set(err, -ENOENT,
                     "image '%s': its storage does not tell of the metadata context '%s'; remote "
                     "disks do, where they are not encrypted (nbdcrypt list shows which)",
                     end->settings.image, name);
}

static int use_context(struct copy_extents *extents, const struct copy_end *end, const char *name,
                       struct error *err)
{
    unsigned context;
    int result = find_context(&context, end, name, err);

    if (result == 0)
        copy_extents_use_context(extents, context);
    return result;
}

/* Of the context that was asked for nothing is made up. */
static int end_of_map(const struct copy_end *end, const struct map_arguments *arguments,
                      const struct copy_extents *extents, struct error *err)
{
    if (arguments->context == NULL || copy_extents_are_known(extents))
        return 0;
    return error_set(err, -EIO,
                     "image '%s': its storage has not told all of the metadata context '%s'",
                     end->settings.image, arguments->context);
}

static int map(const struct copy_end *end, const struct map_arguments *arguments, struct error *err)
{
    struct copy_extents *extents = NULL;
    struct printer printer = { .json = arguments->json,
                               .context = arguments->context,
                               .offsets = lies_as_it_is(end->ex.top) };
    int result = copy_extents_create(&extents, end->ex.top, 0, err);

    if (result == 0 && arguments->context != NULL)
        result = use_context(extents, end, arguments->context, err);
    if (result == 0) {
        if (!copy_extents_are_known(extents))
            log_warning("image '%s': its storage can't tell where it has data: all of it may be",
                        end->settings.image);
        print_all(&printer, extents);
        result = end_of_map(end, arguments, extents, err);
    }
    copy_extents_destroy(extents);
    return result;
}

static int check(void *context, char **operands, struct error *err)
{
    const struct map_arguments *arguments = context;

    (void)operands;
    return copy_end_check(&arguments->image, "--", err);
}

static int run(void *context, char **operands, struct error *err)
{
    const struct map_arguments *arguments = context;
    struct copy_end end = { .is_open = false };
    struct copy_end_wish wish = { .spec = operands[0],
                                  .read_only = true,
                                  .contexts = arguments->context != NULL,
                                  .terms = arguments->terms };
    int result = copy_end_offload(&wish.offload, err);

    if (result == 0)
        result = copy_end_open(&end, &arguments->image, &wish, err);
    if (result == 0)
        result = map(&end, arguments, err);
    copy_end_close(&end);
    offload_destroy(wish.offload);
    return result;
}

const struct command command_map = {
    .name = "map",
    .help = "show where an image has data and holes",
    .about = "Shows which parts of the disk in an image have data, and which are holes or\n"
             "zeros.  Nothing is read but what the storage says of that.",
    .operands = "IMAGE",
    .params = map_params,
    .arguments_bytes = sizeof(struct map_arguments),
    .check = check,
    .run = run,
};
