#include "server/serve/listeners.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/base/log.h"

/* ---- at the start ---- */

/* --run without an address: a socket that nobody else can reach. */
static int private_address(struct listeners *listeners, struct listen_address *address,
                           struct error *err)
{
    struct sockaddr_un *local = &address->address.local;
    char *directory = listeners->private_directory;

    snprintf(directory, sizeof listeners->private_directory, "/tmp/nbdcrypt-XXXXXX");
    if (mkdtemp(directory) == NULL) {
        directory[0] = '\0';
        return error_set(err, -errno, "--run: a folder for its socket can't be made: %s",
                         strerror(errno));
    }
    *address = (struct listen_address){ .address_bytes = sizeof *local, .text = "--run" };
    local->sun_family = AF_UNIX;
    snprintf(local->sun_path, sizeof local->sun_path, "%s/socket", directory);
    listeners->private = true;
    return 0;
}

static int add(struct listening *out, const struct listen_address *address, bool share,
               struct error *err)
{
    *out = (struct listening){ .address = *address, .text = strdup(address->text) };
    if (out->text == NULL)
        return error_no_memory(err, "for an address");
    out->address.text = out->text;
    int result = listen_open(&out->listener, address, share, err);
    if (result < 0)
        free(out->text);
    return result;
}

static int too_many(struct error *err)
{
    return error_set(err, -EINVAL, "more than %u addresses to listen on", LISTENERS_MAX);
}

static int take_activated(struct listeners *listeners, struct error *err)
{
    struct listener *given[LISTENERS_MAX] = { 0 };
    int result =
        listen_activated(given, LISTENERS_MAX, &listeners->count, &listeners->control, err);

    for (size_t i = 0; i < listeners->count; i++)
        listeners->items[i] = (struct listening){ .listener = given[i], .activated = true };
    listeners->activated = listeners->count > 0;
    return result;
}

int listeners_open(struct listeners *listeners, struct serve_options *options, struct error *err)
{
    int result = take_activated(listeners, err);

    if (result < 0 || (listeners->activated && options->address_is_default))
        return result;
    if (options->address_is_default && options->run != NULL) {
        result = private_address(listeners, &options->addresses[0], err);
        if (result < 0)
            return result;
    }
    for (size_t i = 0; i < options->address_count; i++) {
        if (listeners->count == LISTENERS_MAX)
            return too_many(err);
        result = add(&listeners->items[listeners->count], &options->addresses[i], false, err);
        if (result < 0)
            return result;
        listeners->count++;
    }
    return 0;
}

void listeners_start(struct listeners *listeners, size_t index, struct loop *loop,
                     listen_accepted_fn *accepted, void *context)
{
    listeners->loop = loop;
    listeners->accepted = accepted;
    listeners->context = context;
    listen_start(listeners->items[index].listener, loop, accepted, context);
}

static void remove_private_directory(const struct listeners *listeners)
{
    if (listeners->private_directory[0] != '\0')
        rmdir(listeners->private_directory);
}

void listeners_remove_names(const struct listeners *listeners)
{
    for (size_t i = 0; i < listeners->count; i++)
        listen_remove_name(listeners->items[i].listener);
    remove_private_directory(listeners);
}

void listeners_stop(struct listeners *listeners)
{
    listeners->stopped = true;
    for (size_t i = 0; i < listeners->count; i++)
        listen_stop(listeners->items[i].listener);
    remove_private_directory(listeners);
}

void listeners_free(struct listeners *listeners)
{
    listeners_undo(atomic_exchange(&listeners->coming, NULL));
    listen_free(listeners->control);
    while (listeners->count > 0) {
        struct listening *last = &listeners->items[--listeners->count];

        listen_free(last->listener);
        free(last->text);
    }
}

/* ---- while it runs ---- */

struct listeners_change {
    struct listening added[LISTENERS_MAX];
    size_t added_count;
    bool stays[LISTENERS_MAX]; /* of those there are */
    struct {
        struct listener *listener;
        struct unix_permissions now, before;
    } permitted[LISTENERS_MAX]; /* Unix sockets that stay, for others than before */
    size_t permitted_count;
};

static bool is_same(const struct listening *there, const struct listen_address *address)
{
    return !there->activated && there->address.address_bytes == address->address_bytes &&
           memcmp(&there->address.address, &address->address, address->address_bytes) == 0;
}

/* The one of this address that stays; LISTENERS_MAX: there is none.  Of several with port 0 each
 * stays once. */
static size_t find(const struct listeners *listeners, const struct listeners_change *change,
                   const struct listen_address *address)
{
    for (size_t i = 0; i < listeners->count; i++)
        if (!change->stays[i] && is_same(&listeners->items[i], address))
            return i;
    return LISTENERS_MAX;
}

static int permit(struct listeners_change *change, const struct listening *there,
                  const struct listen_address *next, struct error *err)
{
    const struct unix_permissions *now = &there->address.permissions, *then = &next->permissions;
    size_t at = change->permitted_count;

    if (next->address.any.sa_family != AF_UNIX ||
        (now->has_mode == then->has_mode && now->mode == then->mode &&
         now->has_group == then->has_group && now->group == then->group))
        return 0;
    int result = listen_permit(there->listener, then, &change->permitted[at].before, err);
    if (result < 0)
        return result;
    change->permitted[at].listener = there->listener;
    change->permitted[at].now = *then;
    change->permitted_count++;
    return 0;
}

/* 0: it has to be opened; 1: it is there, and stays. */
static int keep(struct listeners_change *change, const struct listeners *listeners,
                const struct listen_address *address, struct error *err)
{
    size_t there = find(listeners, change, address);

    if (there == LISTENERS_MAX)
        return 0;
    change->stays[there] = true;
    int result = permit(change, &listeners->items[there], address, err);
    return result == 0 ? 1 : result;
}

/* Those that go share their ports for a moment: 0.0.0.0:1 may come in the place of 127.0.0.1:1. */
static void share_those_that_go(const struct listeners_change *change,
                                const struct listeners *listeners, bool share)
{
    for (size_t i = 0; i < listeners->count; i++)
        if (!change->stays[i] && !listen_is_unix(listeners->items[i].listener))
            listen_share(listeners->items[i].listener, share);
}

static int open_new(struct listeners_change *change, const struct listen_address *address,
                    struct error *err)
{
    if (change->added_count == LISTENERS_MAX)
        return too_many(err);
    bool local = address->address.any.sa_family == AF_UNIX;
    int result = add(&change->added[change->added_count], address, !local, err);
    change->added_count += result == 0;
    return result;
}

static int prepare_all(struct listeners_change *change, const struct listeners *listeners,
                       const struct serve_options *next, struct error *err)
{
    const struct listen_address *missing[LISTENERS_MAX];
    size_t count = 0;
    int result = 0;

    for (size_t i = 0; i < next->address_count && result >= 0; i++) {
        result = keep(change, listeners, &next->addresses[i], err);
        if (result == 0 && count == LISTENERS_MAX)
            return too_many(err);
        if (result == 0)
            missing[count++] = &next->addresses[i];
    }
    share_those_that_go(change, listeners, true);
    for (size_t i = 0; i < count && result >= 0; i++)
        result = open_new(change, missing[i], err);
    share_those_that_go(change, listeners, false);
    return result < 0 ? result : 0;
}

/* What is not of the configuration, or is in the place of what it does not say. */
static void keep_others(struct listeners_change *change, const struct listeners *listeners,
                        const struct serve_options *next)
{
    for (size_t i = 0; i < listeners->count; i++)
        change->stays[i] =
            listeners->items[i].activated || (listeners->private && next->address_is_default);
}

static size_t count_then(const struct listeners_change *change, const struct listeners *listeners)
{
    size_t count = change->added_count;

    for (size_t i = 0; i < listeners->count; i++)
        count += change->stays[i];
    return count;
}

int listeners_prepare(struct listeners_change **out, const struct listeners *listeners,
                      const struct serve_options *next, struct error *err)
{
    struct listeners_change *change = calloc(1, sizeof *change);
    bool usual = next->address_is_default && (listeners->activated || listeners->private);
    int result = 0;

    if (change == NULL)
        return error_no_memory(err, "for addresses");
    keep_others(change, listeners, next);
    if (!usual)
        result = prepare_all(change, listeners, next, err);
    if (result == 0 && count_then(change, listeners) > LISTENERS_MAX)
        result = too_many(err);
    if (result < 0)
        listeners_undo(change);
    else
        *out = change;
    return result;
}

void listeners_undo(struct listeners_change *change)
{
    struct error err;

    if (change == NULL)
        return;
    for (size_t i = 0; i < change->permitted_count; i++)
        if (listen_permit(change->permitted[i].listener, &change->permitted[i].before, NULL, &err) <
            0)
            log_warning("%s", err.text);
    for (size_t i = 0; i < change->added_count; i++) {
        listen_free(change->added[i].listener);
        free(change->added[i].text);
    }
    free(change);
}

static void tell(const struct listening *one, const char *what)
{
    log_notice("%s: %s", what, one->text);
}

void listeners_coming(struct listeners *listeners, struct listeners_change *change)
{
    atomic_store(&listeners->coming, change);
}

void listeners_commit(struct listeners *listeners)
{
    struct listeners_change *change = atomic_exchange(&listeners->coming, NULL);
    size_t kept = 0;

    if (listeners->stopped) {
        listeners_undo(change);
        return;
    }
    for (size_t k = 0; k < change->permitted_count; k++)
        for (size_t i = 0; i < listeners->count; i++)
            if (listeners->items[i].listener == change->permitted[k].listener)
                listeners->items[i].address.permissions = change->permitted[k].now;
    for (size_t i = 0; i < listeners->count; i++) {
        struct listening one = listeners->items[i];

        if (change->stays[i]) {
            listeners->items[kept++] = one;
            continue;
        }
        tell(&one, "no longer listening");
        listen_retire(one.listener);
        free(one.text);
    }
    listeners->count = kept;
    for (size_t i = 0; i < change->added_count; i++) {
        listeners->items[listeners->count++] = change->added[i];
        tell(&change->added[i], "listening");
        listen_start(change->added[i].listener, listeners->loop, listeners->accepted,
                     listeners->context);
    }
    free(change);
}
