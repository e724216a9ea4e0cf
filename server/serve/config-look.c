#include "server/serve/config-look.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/cipher/cipher.h"
#include "crypto/luks/luks-describe.h"
#include "server/base/argv.h"
#include "server/base/log.h"
#include "server/block/image.h"
#include "server/block/qcow2-stage.h"
#include "server/serve/export-options.h"
#include "server/serve/serve-config.h"
#include "server/tls/tls.h"
#include "server/volume/qcow2-found.h"
#include "server/volume/qcow2-key.h"
#include "server/volume/volume-header.h"

static void tell(struct serve_options *options, size_t index, const char *text)
{
    const char *name = options->exports[index].name;

    config_problem(&options->files.problems, &options->export_places[index], "export '%.*s': %s",
                   export_options_shown(strlen(name)), name, text);
}

/* ---- keys ---- */

/* Another user may be able to see what this one can't. */
static int look_at_file(const char *path, const char *what, struct error *err)
{
    struct stat status;

    if (path == NULL || strcmp(path, "-") == 0)
        return 0;
    if (stat(path, &status) == 0)
        return S_ISDIR(status.st_mode) ? error_set(err, -EISDIR, "%s '%s' is a folder", what, path)
                                       : 0;
    if (errno == EACCES) {
        log_warning("%s '%s' can't be looked at by this user", what, path);
        return 0;
    }
    return error_set(err, -errno, "%s '%s': %s", what, path, strerror(errno));
}

/* As execvp() would find it. */
static bool is_program(const char *word)
{
    const char *folders = getenv("PATH");
    bool found = false;

    if (strchr(word, '/') != NULL)
        return access(word, X_OK) == 0;
    for (folders = folders != NULL ? folders : "/usr/bin:/bin"; !found && folders != NULL;) {
        const char *end = strchrnul(folders, ':');
        char *path;

        if (asprintf(&path, "%.*s/%s", (int)(end - folders), folders, word) < 0)
            return true; /* not known */
        found = access(path, X_OK) == 0;
        free(path);
        folders = *end == ':' ? end + 1 : NULL;
    }
    return found;
}

static int look_at_command(const char *command, struct error *err)
{
    char **words = NULL;
    int result = argv_split(&words, command, err);

    if (result < 0)
        error_prefix(err, "key-command: ");
    else if (!is_program(words[0]))
        result = error_set(err, -ENOENT,
                           "key-command: there is no program '%s', or it can't be run", words[0]);
    argv_free(words);
    return result;
}

/* Only a unit of systemd has any. */
static int look_at_credential(const char *name, struct error *err)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    char *path;
    int result;

    if (folder == NULL)
        return 0;
    if (asprintf(&path, "%s/%s", folder, name) < 0)
        return error_no_memory(err, NULL);
    result = look_at_file(path, "credential", err);
    free(path);
    return result;
}

static int look_at_key(const struct export_settings *settings, struct error *err)
{
    const struct key_source *key = &settings->key;
    int result = look_at_file(key->file, "key file", err);

    if (result == 0)
        result = look_at_file(key->volume_key_file, "volume key file", err);
    if (result == 0)
        result = look_at_file(key->command_input, "input of key-command", err);
    if (result == 0 && key->command != NULL)
        result = look_at_command(key->command, err);
    if (result == 0 && key->credential != NULL)
        result = look_at_credential(key->credential, err);
    if (result == 0 && key_source_given(key) == NULL)
        log_warning("export '%s': no key is named, so it is asked for on the terminal, which a "
                    "service has not: give it key-file, key-command or key-credential",
                    settings->name);
    return result;
}

/* ---- images ---- */

/* *found: it is to be looked at as a qcow2 image, as a server would. */
static int look_at_header(struct json_object **out, bool *found, struct stage *image,
                          const struct export_settings *settings, struct error *err)
{
    struct luks_header *header = NULL;
    struct format_signature content;
    const char *implementation;
    int result = volume_header_load(&header, image, settings->header, &content, err);

    *found = result == -EMEDIUMTYPE && settings->header == NULL &&
             qcow2_found(&content, settings->image, &settings->demands);

    if (result == -EMEDIUMTYPE)
        volume_header_tell_content(
            &content, settings->header != NULL ? LUKS_IMAGE_OF_HEADER : LUKS_IMAGE_SERVED, err);
    if (result == 0)
        result = luks_demands_check(&settings->demands, header, err);
    if (result == 0)
        result = cipher_choose(&implementation, &luks_segment(header)->cipher, err);
    if (result == 0)
        result = luks_describe_json(out, header, err);
    luks_free(header);
    if (result < 0)
        error_prefix(err, "%s '%s': ", settings->header != NULL ? "header" : "image",
                     settings->header != NULL ? settings->header : settings->image);
    return result;
}

/* One that QEMU encrypted. */
static int look_at_qcow2(struct json_object **out, struct stage *image,
                         const struct export_settings *settings, struct error *err)
{
    struct luks_header *header = NULL;
    int result = qcow2_key_check_options(settings->raw, settings->header != NULL,
                                         export_option_prefix(settings), err);

    if (result == 0 && qcow2_stage_crypt(image) == QCOW2_CRYPT_AES)
        result = qcow2_key_check_aes(&settings->demands, err);
    else if (result == 0)
        result = qcow2_key_header(&header, image, &settings->demands, err);
    if (header != NULL)
        result = luks_describe_json(out, header, err);
    luks_free(header);
    if (result < 0)
        error_prefix(err, "image '%s': ", settings->image);
    return result;
}

static int look_at_stage(struct json_object **header, bool *found, struct stage *image,
                         const struct export_settings *settings, struct error *err)
{
    *found = false;
    if (qcow2_stage_crypt(image) != QCOW2_CRYPT_NONE)
        return look_at_qcow2(header, image, settings, err);
    return settings->raw ? 0 : look_at_header(header, found, image, settings, err);
}

static int look_at_image(struct json_object **header, const struct export_settings *settings,
                         struct error *err)
{
    struct image_options open = { .read_only = true, .direct = settings->options.direct };
    struct stage *image = NULL;
    bool found = false, again;
    int result = image_open(&image, settings->image, &open, err);

    if (result == 0)
        result = look_at_stage(header, &found, image, settings, err);
    if (found) {
        stage_close(image);
        image = NULL;
        result = qcow2_found_open(&image, settings->image, &open, err);
        if (result == 0)
            result = look_at_stage(header, &again, image, settings, err);
        if (result == -EMEDIUMTYPE)
            result = qcow2_found_refuse_plain(settings->image, err);
    }
    stage_close(image);
    return result;
}

/* ---- all of it ---- */

static int look_at_tls(struct serve_options *options)
{
    struct tls_settings settings = options->tls;
    struct tls tls;
    struct error err;
    int result;

    if (options->tls_mode == TLS_OFF)
        return 0;
    settings.ktls = "off"; /* the kernel is not asked */
    result = tls_open(&tls, &settings, &err);
    tls_close(&tls);
    return serve_config_note(options, result, "tls", &err);
}

/* ---- images that two exports have ---- */

struct owner {
    struct image_identity image;
    size_t index; /* of the export */
};

static int compare_claims(const struct image_identity *one, const struct image_identity *other)
{
    if (one->claim == NULL || other->claim == NULL)
        return (one->claim != NULL) - (other->claim != NULL);
    return strcmp(one->claim, other->claim);
}

static int by_image(const void *a, const void *b)
{
    const struct owner *one = a, *other = b;
    int order = compare_claims(&one->image, &other->image);

    if (order != 0)
        return order;
    if (one->image.device != other->image.device)
        return one->image.device < other->image.device ? -1 : 1;
    if (one->image.number != other->image.number)
        return one->image.number < other->image.number ? -1 : 1;
    return one->index < other->index ? -1 : one->index > other->index;
}

static bool is_same(const struct owner *one, const struct owner *other)
{
    return compare_claims(&one->image, &other->image) == 0 &&
           one->image.device == other->image.device && one->image.number == other->image.number;
}

static void tell_shared(struct serve_options *options, const struct owner *one,
                        const struct owner *other)
{
    const char *name = options->exports[one->index].name;
    struct error err;

    error_set(&err, -EBUSY,
              "image '%s' is that of export '%.*s', too: only one of them can be opened, unless "
              "%s read-only",
              options->exports[other->index].image, export_options_shown(strlen(name)), name,
              one->image.claim != NULL ? "one is" : "both are");
    serve_config_add_place(options, one->index, &err);
    tell(options, other->index, err.text);
}

static bool only_reads(const struct serve_options *options, const struct owner *owner)
{
    return options->exports[owner->index].options.read_only;
}

/* Of the same image those can be together that only read, and one that writes where it is claimed;
 * of its parts, those that do not overlap, which opening them tells. */
static void look_at_same(struct serve_options *options, const struct owner *owners, size_t count)
{
    const struct owner *first = &owners[0];

    while (first->image.claim != NULL && count > 1 && only_reads(options, first)) {
        first = ++owners;
        count--;
    }
    for (size_t i = 1; i < count; i++) {
        bool one = only_reads(options, first), other = only_reads(options, &owners[i]);
        bool reads = first->image.claim != NULL ? one || other : one && other;
        bool parts = first->image.is_part && owners[i].image.is_part;
        bool forced = options->exports[owners[i].index].options.terms.force_in_use;

        if (!reads && !parts && !forced)
            tell_shared(options, first, &owners[i]);
    }
}

static int look_for_shared(struct serve_options *options)
{
    struct owner *owners = calloc(options->export_count + 1, sizeof *owners);
    size_t count = 0, last;

    if (owners == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < options->export_count; i++) {
        owners[count].index = i;
        count += image_identify(&owners[count].image, options->exports[i].image);
    }
    if (count > 0)
        qsort(owners, count, sizeof *owners, by_image);
    for (size_t i = 0; i < count; i = last) {
        for (last = i + 1; last < count && is_same(&owners[i], &owners[last]);)
            last++;
        look_at_same(options, &owners[i], last - i);
    }
    while (count > 0)
        free(owners[--count].image.claim);
    free(owners);
    return 0;
}

void config_look(struct serve_options *options, struct json_object **headers)
{
    if (look_at_tls(options) < 0 || look_for_shared(options) < 0)
        log_warning("there is not enough memory to look at all of the configuration");
    for (size_t i = 0; i < options->export_count; i++) {
        const struct export_settings *settings = &options->exports[i];
        struct error err;

        if (look_at_image(&headers[i], settings, &err) < 0)
            tell(options, i, err.text);
        if (!settings->raw && look_at_key(settings, &err) < 0)
            tell(options, i, err.text);
    }
    config_problems_sort(&options->files.problems);
}
