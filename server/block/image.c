#include "server/block/image.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/block/image-claim.h"
#include "server/block/image-format.h"
#include "server/block/image-window.h"
#include "server/base/log.h"
#include "server/block/window-layer.h"
#include "server/sandbox/sandbox.h"

#define BACKING_DEPTH_MAX 16u

/* Ends with NULL.  Set before any image is opened. */
static const struct layer_ops *const *backends;

void image_set_backends(const struct layer_ops *const *table)
{
    backends = table;
}

/* ---- IMAGE ---- */

static const struct layer_ops *backend_find(const char *name, size_t name_bytes)
{
    for (size_t i = 0; backends[i] != NULL; i++)
        if (strlen(backends[i]->name) == name_bytes &&
            strncmp(backends[i]->name, name, name_bytes) == 0)
            return backends[i];
    return NULL;
}

/* The length of "scheme" when `spec` begins with "scheme:". */
static size_t word_before_colon(const char *spec)
{
    size_t length = 0;

    while (islower((unsigned char)spec[length]) || spec[length] == '+')
        length++;
    return length >= 2 && spec[length] == ':' ? length : 0;
}

/* The same, when it is not an existing path. */
static size_t scheme_length(const char *spec)
{
    size_t length = word_before_colon(spec);

    if (length == 0)
        return 0;
    if (backend_find(spec, length) == NULL && access(spec, F_OK) == 0)
        return 0;
    return length;
}

bool image_is_relative(const char *spec)
{
    size_t length = word_before_colon(spec);

    if (length == 0)
        return *spec != '/';
    return length == strlen("file") && strncmp(spec, "file", length) == 0 &&
           spec[length + 1] != '/';
}

static int refuse_scheme(const char *spec, size_t length, struct error *err)
{
    char known[256] = "";
    size_t used = 0;

    for (size_t i = 0; backends[i] != NULL; i++) {
        const char *name = backends[i]->name;
        size_t name_bytes = strlen(name);

        if (used + name_bytes + 4 > sizeof known)
            break;
        if (used > 0) {
            memcpy(known + used, ", ", 2);
            used += 2;
        }
        memcpy(known + used, name, name_bytes);
        memcpy(known + used + name_bytes, ":", 2);
        used += name_bytes + 1;
    }
    return error_set(err, -EINVAL,
                     "image '%s': no backend is called '%.*s' (there are %s); for a file of that "
                     "name write './%s'",
                     spec, (int)length, spec, known, spec);
}

/* What IMAGE says: which backend, and what it is told. */
struct parsed_spec {
    const struct layer_ops *ops;
    char *path;           /* "PATH", or what is behind "scheme:", up to the '?'; owned */
    struct params params; /* of the backend; points into `path` */
    struct image_window window;
    struct image_format format;
};

/* A plugin of nbdkit knows which names it has. */
static bool takes_any_name(const struct layer_ops *ops)
{
    return ops->params != NULL && ops->params[0].name == NULL;
}

static void free_spec(struct parsed_spec *parsed)
{
    image_format_free(&parsed->format);
    free(parsed->path);
}

/* Where the backend has no parameters of its own, a '?' belongs to the path unless those of a
 * window or of a format are behind it. */
static int parse_parameters(struct parsed_spec *out, struct error *err)
{
    const struct layer_ops *ops = out->ops;
    char *question =
        ops->params != NULL ? strchr(out->path, '?') : image_window_question(out->path);

    if (question == NULL && ops->params == NULL)
        question = image_format_question(out->path);
    if (question == NULL)
        return 0;
    *question = '\0';
    out->params.text = question + 1;
    if (takes_any_name(ops))
        return 0;
    int result = image_window_parse(&out->window, question + 1, err);
    if (result == 0)
        result = image_format_parse(&out->format, question + 1, err);
    if (result == 0 && ops->params == NULL && question[1] != '\0')
        result = error_set(
            err, -EINVAL,
            "behind '?' there may be format, snapshot, backing, offset, size or partition, "
            "not '%s'",
            question + 1);
    return result;
}

/* free_spec() in any case. */
static int parse_spec(struct parsed_spec *out, const char *spec, struct error *err)
{
    size_t length = scheme_length(spec);

    *out = (struct parsed_spec){ .ops = length > 0 ? backend_find(spec, length)
                                                   : backend_find("file", strlen("file")) };
    if (out->ops == NULL)
        return refuse_scheme(spec, length, err);
    out->path = strdup(length > 0 ? spec + length + 1 : spec);
    if (out->path == NULL)
        return error_set(err, -ENOMEM, "not enough memory to open image '%s'", spec);
    int result = parse_parameters(out, err);
    if (result < 0)
        error_prefix(err, "image '%s': ", spec);
    return result;
}

int image_name_parse(struct image_name *out, const char *spec, struct error *err)
{
    struct parsed_spec parsed;
    int result = parse_spec(&parsed, spec, err);
    const char *backing = result == 0 ? parsed.format.backing : NULL;

    if (result < 0) {
        free_spec(&parsed);
        return result;
    }
    *out = (struct image_name){ .scheme = parsed.ops->name,
                                .path = parsed.path,
                                .parameters = parsed.params.text };
    if (backing != NULL && strcmp(backing, "allow") != 0) {
        out->backing = strdup(backing);
        if (out->backing == NULL)
            result = error_no_memory(err, NULL);
    }
    image_format_free(&parsed.format);
    if (result < 0)
        free(out->path);
    return result;
}

void image_name_free(struct image_name *name)
{
    free(name->path);
    free(name->backing);
}

bool image_names_a_part(const char *spec)
{
    struct parsed_spec parsed;
    struct error ignored = { "" };
    int result = parse_spec(&parsed, spec, &ignored);

    free_spec(&parsed);
    return result < 0 || parsed.window.given || parsed.format.qcow2;
}

bool image_names_a_format(const char *spec)
{
    struct parsed_spec parsed;
    struct error ignored = { "" };
    int result = parse_spec(&parsed, spec, &ignored);

    free_spec(&parsed);
    return result == 0 && parsed.format.format != NULL;
}

static bool identify_file(struct image_identity *out, const struct parsed_spec *parsed)
{
    struct stat status;
    bool known = strcmp(parsed->ops->name, "file") == 0 && stat(parsed->path, &status) == 0;

    if (known && S_ISBLK(status.st_mode)) /* whatever its node is */
        *out = (struct image_identity){ .device = UINT64_MAX, .number = status.st_rdev };
    else if (known)
        *out = (struct image_identity){ .device = status.st_dev, .number = status.st_ino };
    return known;
}

static bool identify_other(struct image_identity *out, const struct parsed_spec *parsed)
{
    const struct stage_settings settings = { .params = &parsed->params, .path = parsed->path };

    if (parsed->ops->identify == NULL)
        return false;
    *out = (struct image_identity){ .claim = parsed->ops->identify(parsed->ops->name, &settings) };
    return out->claim != NULL;
}

bool image_identify(struct image_identity *out, const char *spec)
{
    struct parsed_spec parsed;
    struct error ignored = { "" };
    bool known = parse_spec(&parsed, spec, &ignored) == 0 &&
                 (identify_file(out, &parsed) || identify_other(out, &parsed));

    if (known)
        out->is_part = parsed.window.given;
    free_spec(&parsed);
    return known;
}

/* Puts the window on the backend that was opened.  Others may change the partition table until the
 * part is locked, so it is looked up again then. */
static int add_window(struct stage **stage, const struct image_window *window,
                      struct stage_settings *settings, struct error *err)
{
    const struct layer_ops *ops = (*stage)->ops;
    struct byte_range again;
    int result = image_window_find(&settings->part, window, *stage, err);

    if (result == 0 && settings->options.lock && ops->lock != NULL) {
        result = ops->lock(*stage, settings, err);
        if (result == 0)
            result = image_window_find(&again, window, *stage, err);
        if (result == 0 && (again.offset_bytes != settings->part.offset_bytes ||
                            again.size_bytes != settings->part.size_bytes))
            result = error_set(err, -EBUSY, "its partition table was changed just now; try again");
    }
    return result == 0 ? window_stage_create(stage, *stage, &settings->part, err) : result;
}

/* Beside one that is open for the same purpose. */
static bool is_claimed_beside(const struct stage_settings *settings, const char *identity)
{
    const struct stage *beside = settings->options.beside;

    return beside != NULL && beside->claim != NULL && image_claim_is_of(beside->claim, identity);
}

static int claim_as_agreed(struct stage *backend, const struct image_claim_wish *wish,
                           const struct stage_settings *settings, struct error *err)
{
    struct error why = { "" };
    int result = image_claim_take(&backend->claim, wish, &why);

    if (result == -EBUSY && settings->options.terms.force_in_use) {
        log_warning("'%s': %s; going on (--force-in-use)", settings->path, why.text);
        result = image_claim_share(&backend->claim, wish, &why);
    }
    return result < 0 ? error_set(err, result, "%s", why.text) : 0;
}

/* Whoever only reads does no harm. */
static int claim(struct stage *stage, const struct stage_settings *settings, struct error *err)
{
    struct stage *backend = stage_backend(stage);

    if (!settings->options.lock || settings->options.read_only || backend->limits.read_only ||
        backend->ops->identify == NULL)
        return 0;
    char *identity = backend->ops->identify(backend->ops->name, settings);
    if (identity == NULL)
        return error_no_memory(err, NULL);
    const struct image_claim_wish wish = { .identity = identity,
                                           .offset_bytes = settings->part.offset_bytes,
                                           .size_bytes = settings->part.size_bytes,
                                           .export_name = settings->options.export_name };
    int result =
        is_claimed_beside(settings, identity) ? 0 : claim_as_agreed(backend, &wish, settings, err);
    free(identity);
    return result;
}

static int add_backing(struct stage *stage, const struct parsed_spec *parsed,
                       const struct stage_settings *settings, struct error *err)
{
    bool by_path = strcmp(parsed->ops->name, "file") == 0 && settings->options.fd == 0;
    bool left_out = settings->options.without_backing && parsed->format.backing == NULL &&
                    !parsed->window.given;
    struct image_options options = settings->options;
    struct stage *backing = NULL;
    char *spec = NULL;
    int result = left_out ? 0
                          : image_format_backing(&spec, &parsed->format,
                                                 by_path ? parsed->path : NULL, stage, err);

    if (result < 0 || spec == NULL)
        return result;
    options.fd = 0;
    options.qcow2 = false;
    options.beside = NULL;
    options.backing_depth++;
    if (options.backing_depth > BACKING_DEPTH_MAX)
        result = error_set(err, -ELOOP, "it has more than %u backing files behind each other",
                           BACKING_DEPTH_MAX);
    else
        result = image_open(&backing, spec, &options, err);
    free(spec);
    if (result == 0)
        result = image_format_set_backing(stage, backing, err);
    if (result < 0)
        stage_close(backing);
    return result;
}

static int open_parsed(struct stage **out, const struct parsed_spec *parsed,
                       struct stage_settings *settings, struct error *err)
{
    struct stage *stage = NULL;

    assert(parsed->ops != NULL);
    int result = parsed->ops->open(&stage, settings, err);

    if (result == 0)
        result = image_format_add(&stage, &parsed->format, settings->name, &settings->options, err);
    if (result == 0)
        result = add_backing(stage, parsed, settings, err);
    if (result == 0 && parsed->window.given)
        result = add_window(&stage, &parsed->window, settings, err);
    if (result == 0)
        result = claim(stage, settings, err);
    if (result < 0)
        stage_close(stage);
    else
        *out = stage;
    return result;
}

bool image_opens_in_order(const char *spec)
{
    size_t length = scheme_length(spec);
    const struct layer_ops *ops =
        length > 0 ? backend_find(spec, length) : backend_find("file", strlen("file"));

    return ops != NULL && ops->opens_in_order;
}

int image_open(struct stage **out, const char *spec, const struct image_options *options,
               struct error *err)
{
    struct parsed_spec parsed;
    int result = parse_spec(&parsed, spec, err);

    if (result < 0) {
        free_spec(&parsed);
        return result;
    }
    if (options->qcow2)
        parsed.format.qcow2 = true;
    struct stage_settings settings = {
        .params = &parsed.params,
        .path = parsed.path,
        .name = spec,
        .options = *options,
        .lock_later = parsed.window.given && !parsed.format.qcow2,
    };
    if (parsed.format.qcow2 || parsed.window.given) /* they would be about other bytes */
        settings.options.contexts = false;
    if (parsed.format.qcow2) /* for ever; and what others write would not fit what was read */
        settings.options.read_only = settings.options.unchanged = true;
    if (options->beside != NULL)
        settings.options.beside = stage_backend(options->beside);
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): each error of parse_spec() is below 0 */
    if (options->fd > 0 && strcmp(parsed.ops->name, "file") != 0)
        result = error_set(err, -EINVAL,
                           "only a file or a block device can be handed over as a descriptor");
    else
        result = open_parsed(out, &parsed, &settings, err);
    if (result == -EACCES &&
        sandbox_hides(parsed.path, settings.options.read_only ? SANDBOX_READ : SANDBOX_WRITE))
        error_set(
            err, result,
            "it is outside of what the sandbox of this server lets be opened: name its folder "
            "in --sandbox-image-paths (image-paths in [sandbox]), and restart the server");
    if (result < 0)
        error_prefix(err, "image '%s': ", spec);
    free_spec(&parsed);
    return result;
}

void image_header_was_read(struct stage *stage)
{
    struct stage *backend = stage_backend(stage);

    if (backend->ops->header_was_read != NULL)
        backend->ops->header_was_read(backend);
}

void image_is_leaving(struct stage *stage)
{
    image_claim_leaves(stage_backend(stage)->claim);
}

void image_warn_if_volatile(const struct stage *stage, const char *spec)
{
    if (!(stage->limits.ops & OP_BIT(REQUEST_FLUSH)) && !stage->limits.fua)
        log_warning(
            "image '%s': it has neither FLUSH nor FUA, so that nobody knows when something is "
            "stored for good: a loss of power there may undo the change or leave it half done",
            spec);
}
