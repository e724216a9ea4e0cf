/* nbdcrypt measure: see command-measure.h. */
#include "server/copy/command-measure.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "crypto/luks/luks-format.h"
#include "server/base/size-text.h"
#include "server/block/lock-params.h"
#include "server/copy/copy-end.h"
#include "server/copy/copy-extents.h"
#include "server/loop/offload.h"

struct measure_arguments {
    struct copy_end_arguments source;
    uint64_t size_bytes; /* 0: there is a source */
    const char *to_format;
    bool to_zero_holes;
    struct lock_terms terms;
    bool json;
    bool help;
};

#define FIELD(name) offsetof(struct measure_arguments, name)

static const struct param measure_params[] = {
    COPY_END_ROWS("source-", "from-format", struct measure_arguments, source, "SOURCE"),
    PARAM("size", SIZE, "SIZE", size_bytes, "measure for a disk of that size, without SOURCE",
          .min = 1, .max = INT64_MAX / 2),
    PARAM("to-format", STRING, "FORMAT", to_format,
          "what the target is to be: raw or luks (default: luks)", .choices = "raw|luks"),
    PARAM("zero-holes", FLAG, NULL, to_zero_holes,
          "holes in the target are zeros, as for convert --zero-holes"),
    PARAM("json", FLAG, NULL, json, "print JSON, as qemu-img measure does"),
    LOCK_ROWS(struct measure_arguments, terms),
    PARAM("help", FLAG, NULL, help, "show this help", .letter = 'h'),
    { .name = NULL },
};

struct measured {
    uint64_t size_bytes; /* of the disk */
    uint64_t data_bytes; /* what of it is not known to be zeros */
};

static int check(void *context, char **operands, struct error *err)
{
    const struct measure_arguments *arguments = context;

    if (strcmp(arguments->to_format, "raw") != 0 && strcmp(arguments->to_format, "luks") != 0)
        return error_set(err, -EINVAL, "--to-format '%s' is neither raw nor luks",
                         arguments->to_format);
    if ((operands[0] == NULL) == (arguments->size_bytes == 0))
        return error_set(err, -EINVAL,
                         operands[0] == NULL ? "of what? SOURCE or --size SIZE tells"
                                             : "--size is for a disk that is not there: leave out "
                                               "one of SOURCE and --size");
    return copy_end_check(&arguments->source, "--source-", err);
}

static int measure_source(struct measured *out, const struct copy_end *end, struct error *err)
{
    struct copy_extents *extents = NULL;
    int result = copy_extents_create(&extents, end->ex.top, 0, err);

    if (result < 0)
        return result;
    out->size_bytes = end->ex.limits.size_bytes;
    for (;;) {
        struct extent extent = copy_extents_next(extents);

        if (extent.length_bytes == 0)
            break;
        if (!(extent.flags & EXTENT_ZERO))
            out->data_bytes += extent.length_bytes;
    }
    copy_extents_destroy(extents);
    return 0;
}

static void tell(const struct measured *source, const struct measure_arguments *arguments)
{
    bool raw = strcmp(arguments->to_format, "raw") == 0;
    bool sparse = raw || arguments->to_zero_holes;
    uint64_t header_bytes = raw ? 0 : LUKS_FORMAT_AREA_BYTES_LUKS2;
    uint64_t size_bytes = raw ? source->size_bytes : (source->size_bytes + 511) / 512 * 512;
    uint64_t all_bytes = header_bytes + size_bytes;
    uint64_t needed_bytes = sparse ? header_bytes + source->data_bytes : all_bytes;

    if (arguments->json) {
        printf("{\n    \"required\": %" PRIu64 ",\n    \"fully-allocated\": %" PRIu64
               ",\n    \"allocated\": %" PRIu64 "\n}\n",
               all_bytes, all_bytes, needed_bytes);
        return;
    }
    printf("Size of the target:   %s\n", size_text(all_bytes).text);
    printf("Room that it takes:   %s\n", size_text(needed_bytes).text);
}

static int run(void *context, char **operands, struct error *err)
{
    const struct measure_arguments *arguments = context;
    struct measured source = { .size_bytes = arguments->size_bytes };
    struct copy_end end = { .is_open = false };
    struct copy_end_wish wish = { .spec = operands[0],
                                  .option_prefix = "source-",
                                  .read_only = true,
                                  .terms = arguments->terms };
    int result = operands[0] != NULL ? copy_end_offload(&wish.offload, err) : 0;

    if (result == 0 && operands[0] != NULL)
        result = copy_end_open(&end, &arguments->source, &wish, err);
    if (result == 0 && operands[0] != NULL)
        result = measure_source(&source, &end, err);
    copy_end_close(&end);
    offload_destroy(wish.offload);
    if (result == 0)
        tell(&source, arguments);
    return result;
}

static const struct measure_arguments defaults = { .to_format = "luks" };

const struct command command_measure = {
    .name = "measure",
    .help = "tell how large a target has to be",
    .about = "Tells how large the target of nbdcrypt convert has to be, and how much room it\n"
             "takes at first.",
    .operands = "[SOURCE]",
    .params = measure_params,
    .arguments_bytes = sizeof(struct measure_arguments),
    .defaults = &defaults,
    .check = check,
    .run = run,
};
