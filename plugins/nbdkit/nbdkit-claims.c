#include "plugins/nbdkit/nbdkit-claims.h"

#include <errno.h>
#include <stddef.h>

#include "server/base/log.h"

#define BLOCK_MIN_BYTES_MAX 65536u
#define PREFERRED_BYTES_MIN 512u
#define PREFERRED_BYTES_MAX (32u << 20)
#define PREFERRED_BYTES_DEFAULT 4096u

/* Once an answer was an error, nothing more is asked. */
struct questions {
    struct nbdkit_caller *caller;
    const struct nbdkit_plugin *plugin;
    void *handle;
    struct error *err;
    int code; /* 0, or -errno and *err is set */
};

/* ---- one question ---- */

/* 0 or more; 0 after an error. */
static int ask(struct questions *questions, int (*question)(void *), const char *name,
               int otherwise)
{
    if (questions->code < 0)
        return 0;
    if (question == NULL)
        return otherwise;
    nbdkit_host_enter(questions->caller, name);
    int answer = question(questions->handle);
    if (answer >= 0)
        return answer;
    questions->code = nbdkit_host_failed(questions->caller, questions->err);
    return 0;
}

/* Of none, emulated, native. */
static int ask_degree(struct questions *questions, int (*question)(void *), const char *name,
                      int otherwise)
{
    int answer = ask(questions, question, name, otherwise);

    if (answer <= NBDKIT_NATIVE)
        return answer;
    questions->code = error_set(questions->err, -EINVAL,
                                "the plugin answers %d to %s, where 0 is none, 1 emulated and "
                                "2 native; that is a fault of the plugin",
                                answer, name);
    return 0;
}

/* What it says that it can and has no function for, it can't. */
static bool ask_about(struct questions *questions, int (*question)(void *), const char *name,
                      bool has_function)
{
    int answer = ask(questions, question, name, has_function);

    if (answer > 0 && !has_function)
        log_warning("the nbdkit plugin '%s' says yes to %s, but has no function for it: this is "
                    "not offered",
                    questions->caller->name, name);
    return answer > 0 && has_function;
}

/* ---- what it can do ---- */

static int ask_fua(struct questions *questions)
{
    bool has_flush = questions->plugin->flush != NULL;
    int fua = ask_degree(questions, questions->plugin->can_fua, "can_fua",
                         has_flush ? NBDKIT_EMULATE : NBDKIT_NONE);

    if (fua != NBDKIT_EMULATE || has_flush)
        return fua;
    log_warning("the nbdkit plugin '%s' wants FUA to be made of writes and flushes, but has no "
                "function flush: FUA is not offered",
                questions->caller->name);
    return NBDKIT_NONE;
}

/* Zeros without a function for them are written. */
static void ask_operations(struct nbdkit_claims *out, struct questions *questions, bool read_only)
{
    const struct nbdkit_plugin *plugin = questions->plugin;
    bool write =
        !read_only && ask_about(questions, plugin->can_write, "can_write", plugin->pwrite != NULL);
    bool zero = write && plugin->zero != NULL && ask(questions, plugin->can_zero, "can_zero", 1);

    out->write = write;
    out->zero = zero;
    out->fast_zero = zero && ask(questions, plugin->can_fast_zero, "can_fast_zero", 0);
    out->trim = write && ask_about(questions, plugin->can_trim, "can_trim", plugin->trim != NULL);
    out->fua = write ? ask_fua(questions) : NBDKIT_NONE;
    out->flush = ask_about(questions, plugin->can_flush, "can_flush", plugin->flush != NULL);
    out->extents =
        ask_about(questions, plugin->can_extents, "can_extents", plugin->extents != NULL);
    out->rotational = ask(questions, plugin->is_rotational, "is_rotational", 0);
    out->cache = ask_degree(questions, plugin->can_cache, "can_cache",
                            plugin->cache != NULL ? NBDKIT_NATIVE : NBDKIT_NONE);
}

/* ---- how large it is ---- */

static bool is_power_of_two(uint32_t number)
{
    return number > 0 && (number & (number - 1)) == 0;
}

static int check_blocks(uint32_t least, uint32_t preferred, uint32_t most, struct error *err)
{
    if (!is_power_of_two(least) || least > BLOCK_MIN_BYTES_MAX)
        return error_set(err, -EINVAL,
                         "the plugin's smallest block of %u bytes is no power of two up to 65,536",
                         least);
    if (!is_power_of_two(preferred) || preferred < PREFERRED_BYTES_MIN ||
        preferred > PREFERRED_BYTES_MAX || preferred < least)
        return error_set(err, -EINVAL,
                         "the plugin's preferred block of %u bytes is no power of two from 512 to "
                         "33,554,432, or smaller than its smallest one of %u",
                         preferred, least);
    if (most < preferred || (most != UINT32_MAX && most % least != 0))
        return error_set(err, -EINVAL,
                         "the plugin's largest block of %u bytes is smaller than its preferred one "
                         "of %u, or no multiple of its smallest one of %u",
                         most, preferred, least);
    return 0;
}

static void ask_blocks(struct nbdkit_claims *out, struct questions *questions)
{
    uint32_t least = 0, preferred = 0, most = 0;

    if (questions->plugin->block_size != NULL) {
        nbdkit_host_enter(questions->caller, "block_size");
        if (questions->plugin->block_size(questions->handle, &least, &preferred, &most) < 0) {
            questions->code = nbdkit_host_failed(questions->caller, questions->err);
            return;
        }
    }
    if (least == 0 && preferred == 0 && most == 0) { /* it has no opinion */
        least = 1;
        preferred = PREFERRED_BYTES_DEFAULT;
        most = UINT32_MAX;
    }
    questions->code = check_blocks(least, preferred, most, questions->err);
    if (questions->code < 0)
        return;
    out->block_min_bytes = least;
    out->block_preferred_bytes = preferred;
    out->block_max_bytes = most / least * least;
}

static void ask_size(struct nbdkit_claims *out, struct questions *questions)
{
    if (questions->code < 0)
        return;
    nbdkit_host_enter(questions->caller, "get_size");
    int64_t size_bytes = questions->plugin->get_size(questions->handle);
    if (size_bytes < 0) {
        questions->code = nbdkit_host_failed(questions->caller, questions->err);
        return;
    }
    uint64_t tail_bytes = (uint64_t)size_bytes % out->block_min_bytes;
    if (tail_bytes > 0)
        log_warning("the nbdkit plugin '%s' has %lld bytes, which are no whole blocks of %u: the "
                    "last %llu are left out",
                    questions->caller->name, (long long)size_bytes, out->block_min_bytes,
                    (unsigned long long)tail_bytes);
    out->size_bytes = (uint64_t)size_bytes - tail_bytes;
}

int nbdkit_claims_ask(struct nbdkit_claims *out, struct nbdkit_caller *caller, void *handle,
                      bool read_only, struct error *err)
{
    struct questions questions = { caller, caller->plugin, handle, err, 0 };

    *out = (struct nbdkit_claims){ .size_bytes = 0 };
    ask_blocks(out, &questions);
    ask_size(out, &questions);
    ask_operations(out, &questions, read_only);
    return questions.code;
}
