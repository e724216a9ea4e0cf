#include "server/serve/exports-suspend.h"

#include <errno.h>

#include "crypto/luks/luks-keyslot.h"
#include "server/base/event.h"
#include "server/base/log.h"
#include "server/block/luks-layer.h"
#include "server/volume/volume-header.h"
#include "server/volume/volume-key.h"

/* As it is on the storage now. */
static int load_header(struct luks_header **out, struct export *ex, struct error *err)
{
    const struct export_settings *settings = ex->settings;
    int code = volume_header_load(out, luks_stage_image(ex->top), settings->header, NULL, err);

    if (code < 0)
        error_prefix(err, "image '%s': ", settings->image);
    return code;
}

static int ask_workers(const struct exports_suspend *suspend, bool resume, struct error *err)
{
    struct worker_round *round = worker_round_create(suspend->worker_count);

    if (round == NULL)
        return error_no_memory(err, NULL);
    worker_round_suspend(round, suspend->workers, suspend->export, resume);
    int code = suspend->wait(suspend->context, round);
    if (code < 0)
        return error_set(err, code, "the server is ending");
    code = worker_round_code(round);
    worker_round_free(round);
    if (code == -EBUSY)
        error_set(err, code, "a client of it did not end its request within %u seconds",
                  WORKER_SUSPEND_SECONDS_MAX);
    else if (code < 0)
        error_set(err, code, "not enough memory");
    return code;
}

/* The key is there; `ex->suspended` before the workers, so that nobody is left waiting. */
static int let_go_on(const struct exports_suspend *suspend, struct error *err)
{
    atomic_store(&suspend->export->suspended, false);
    return ask_workers(suspend, true, err);
}

/* From here on whoever attaches it waits, and has no cipher. */
static int stop_all(const struct exports_suspend *suspend, struct error *err)
{
    struct export *ex = suspend->export;

    atomic_store(&ex->suspended, true);
    luks_stage_suspend(ex->top);
    return ask_workers(suspend, false, err);
}

int exports_suspend(const struct exports_suspend *suspend, struct error *err)
{
    struct export *ex = suspend->export;
    struct luks_header *header;

    if (atomic_load(&ex->suspended))
        return 0;
    if (!export_is_open(ex) || luks_stage_volume_key(ex->top) == NULL)
        return error_set(err, -EINVAL, "export '%s' has no key: it %s", ex->name,
                         export_is_open(ex) ? "does not encrypt" : "is not open");
    int code = load_header(&header, ex, err);
    if (code < 0)
        return code;
    code = luks_keyslot_check_volume_key(header, luks_stage_volume_key(ex->top), err);
    if (code < 0) {
        error_prefix(
            err, "image '%s': its header is not that of its key any more: ", ex->settings->image);
        luks_free(header);
        return code;
    }
    code = stop_all(suspend, err);
    if (code < 0) {
        luks_free(header);
        luks_stage_restore(ex->top, NULL);
        if (code != -ESHUTDOWN && let_go_on(suspend, NULL) < 0)
            log_error("export '%s': not all of its clients go on", ex->name);
        return code;
    }
    luks_stage_forget(ex->top);
    ex->known_header = header;
    log_notice("export '%s': it is suspended, and its key is not in memory", ex->name);
    EVENT(.type = "export.suspended", .export = ex->name);
    return 0;
}

/* What was typed, or read from what the server was handed at its start, is there once. */
static int check_source(const struct key_source *source, struct error *err)
{
    if (key_source_given(source) != NULL && !key_source_is_stdin(source) && source->fd == 0)
        return 0;
    return error_set(err, -EINVAL,
                     "its key came from the terminal, standard input or a descriptor, which can't "
                     "be read again: give it by a descriptor (--key-fd)");
}

/* Keyslots may have been changed meanwhile, but not the volume key. */
static int read_key(struct secret **out, const struct exports_suspend *suspend, struct error *err)
{
    struct export *ex = suspend->export;
    const struct key_source *source = suspend->key != NULL ? suspend->key : &ex->settings->key;
    struct luks_header *header;
    int slot = LUKS_KEYSLOT_ANY;
    int code = suspend->key == NULL ? check_source(source, err) : 0;

    if (code == 0)
        code = load_header(&header, ex, err);
    if (code < 0)
        return code;
    code = volume_key_read(out, &slot, header, source, ex->settings->image, err);
    luks_free(header);
    if (code < 0)
        return code;
    code = luks_keyslot_check_volume_key(ex->known_header, *out, err);
    if (code < 0) {
        error_prefix(err, "image '%s': its header has another volume key than before: ",
                     ex->settings->image);
        secret_free(*out);
    }
    return code;
}

int exports_resume(const struct exports_suspend *suspend, struct error *err)
{
    struct export *ex = suspend->export;
    struct secret *key;

    if (!atomic_load(&ex->suspended))
        return 0;
    int code = read_key(&key, suspend, err);
    if (code < 0)
        return code;
    luks_stage_restore(ex->top, key);
    code = let_go_on(suspend, err);
    if (code < 0) { /* some have no cipher: none shall have one */
        if (code != -ESHUTDOWN && stop_all(suspend, NULL) == 0)
            luks_stage_forget(ex->top);
        return code;
    }
    luks_free(ex->known_header);
    ex->known_header = NULL;
    log_notice("export '%s': it is resumed", ex->name);
    EVENT(.type = "export.resumed", .export = ex->name);
    return 0;
}
