#include "server/cli/ctl-key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/base/log.h"
#include "server/cli/command-line.h"
#include "server/control/control-json.h"
#include "server/keys/key-source.h"

static const struct verb {
    const char *name, *method;
    bool takes_new_key;
    const char *done; /* keyslot, export */
} verbs[] = {
    { "add", "AddKey", true, "The new key is in keyslot %d of export '%s'.\n" },
    { "change", "ChangeKey", true,
      "The new key is in keyslot %d of export '%s'; the old one opens it no more.\n" },
    { "remove", "RemoveKey", false, "The key in keyslot %d of export '%s' is removed.\n" },
    { 0 },
};

static const struct verb *find_verb(const char *name)
{
    for (const struct verb *one = verbs; one->name != NULL; one++)
        if (strcmp(one->name, name) == 0)
            return one;
    return NULL;
}

/* All 0: the terminal. */
static struct key_source old_source(const struct ctl_options *options)
{
    return (struct key_source){ .file = options->key_file, .fd = options->key_fd };
}

static struct key_source new_source(const struct ctl_options *options)
{
    return (struct key_source){ .file = options->new_key_file, .fd = options->new_key_fd };
}

static bool is_given(const struct key_source *source)
{
    return key_source_given(source) != NULL;
}

int ctl_key_check(const struct ctl_options *options, const char *verb, struct error *err)
{
    const struct key_source old = old_source(options), new = new_source(options);
    const struct verb *meant = find_verb(verb);
    int result;

    if (meant == NULL)
        return error_set(err, -EINVAL, "there is no 'ctl key %.80s': it is add, change or remove",
                         verb);
    result = key_source_check(&old, "--", err);
    if (result == 0)
        result = key_source_check(&new, "--new-", err);
    if (result < 0)
        return result;
    if (is_given(&new) && !meant->takes_new_key)
        return error_set(err, -EINVAL, "--new-%s is for ctl key add and change",
                         key_source_given(&new));
    if ((key_source_is_stdin(&old) && key_source_is_stdin(&new)) ||
        (old.fd != 0 && old.fd == new.fd))
        return error_set(err, -EINVAL,
                         "the key and the new key can't both come from %s: the first one is read "
                         "to its end",
                         old.fd != 0 ? "the same descriptor" : "standard input");
    return 0;
}

/* ---- where a key comes from, as a descriptor for the server ---- */

static int open_file(const char *path, struct error *err)
{
    int fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                    : open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0)
        return fd;
    return error_set(err, -errno, "key file '%s' can't be read: %s", path, strerror(errno));
}

/* What was typed is a line, for which every pipe has room. */
static int put_into_pipe(const struct secret *key, struct error *err)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return error_set(err, -errno, "a pipe can't be made: %s", strerror(errno));
    ssize_t put = write(ends[1], key->data, key->length_bytes);
    close(ends[1]);
    if (put == (ssize_t)key->length_bytes)
        return ends[0];
    close(ends[0]);
    return error_set(err, -EIO, "a key can't be handed over by a pipe");
}

static int ask(const char *name, bool confirm, struct error *err)
{
    static const struct key_source terminal;
    struct secret *key = NULL;
    int result = key_source_read(&key, &terminal, name, confirm, err);

    if (result == 0)
        result = put_into_pipe(key, err);
    secret_free(key);
    return result;
}

/* The caller closes it. */
static int open_key(const struct key_source *source, const char *name, bool is_new,
                    struct error *err)
{
    if (source->file != NULL)
        return open_file(source->file, err);
    if (source->fd == 0)
        return ask(name, is_new, err);
    int fd = fcntl((int)source->fd, F_DUPFD_CLOEXEC, 3);
    return fd >= 0 ? fd : error_set(err, -errno, "--key-fd: %s", strerror(errno));
}

/* ---- the call ---- */

static struct json_object *options_of(const struct ctl *ctl)
{
    struct json_object *options = json_object_new_object();

    for (int i = 1; i < ctl->other_count; i++) {
        char *equals = strchr(ctl->others[i], '=');

        *equals = '\0';
        control_add_text(options, ctl->others[i], equals + 1);
    }
    return options;
}

static void close_keys(const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
}

/* `options` are consumed.  Those of `fds` are closed. */
static int change(struct ctl *ctl, const struct verb *verb, struct json_object *options,
                  const int *fds, unsigned count)
{
    const char *name = ctl->others[0];
    struct json_object *parameters = control_with("name", json_object_new_string(name)), *reply;

    if (json_object_object_length(options) > 0)
        control_add(parameters, "options", options);
    else
        json_object_put(options);
    if (count > 0)
        control_add_number(parameters, "key_fd", 0);
    if (verb->takes_new_key)
        control_add_number(parameters, "new_key_fd", 1);
    ctl_wait_for_change(ctl);
    int status = ctl_call_with_fds(ctl, verb->method, parameters, fds, count, &reply);
    close_keys(fds, count);
    int known_slot = (int)control_number(reply, "known_slot", -1);
    if (status == EXIT_SUCCESS && ctl->options.json)
        ctl_print_json(json_object_get(reply));
    else if (status == EXIT_SUCCESS)
        printf(verb->done, (int)control_number(reply, "slot", -1), name);
    if (status == EXIT_SUCCESS && known_slot >= 0)
        log_warning("this passphrase opens keyslot %d, too, and did before: to take it away, "
                    "remove both keyslots",
                    known_slot);
    json_object_put(reply);
    return status;
}

int ctl_key(struct ctl *ctl)
{
    const struct verb *verb = find_verb(ctl->operand);
    struct key_source old = old_source(&ctl->options), new = new_source(&ctl->options);
    struct json_object *options = options_of(ctl);
    bool by_key = verb->takes_new_key || is_given(&old) || control_text(options, "slot") == NULL;
    struct error err = { "" };
    unsigned count = 0;
    int fds[2], fd = 0;

    if (by_key) {
        fd = open_key(&old, ctl->others[0], false, &err);
        if (fd >= 0)
            fds[count++] = fd;
    }
    if (fd >= 0 && verb->takes_new_key) {
        fd = open_key(&new, ctl->others[0], true, &err);
        if (fd >= 0)
            fds[count++] = fd;
    }
    if (fd >= 0)
        return change(ctl, verb, options, fds, count);
    log_error("%s", err.text);
    close_keys(fds, count);
    json_object_put(options);
    return EXIT_FAILURE;
}
