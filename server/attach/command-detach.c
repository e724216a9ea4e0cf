/* nbdcrypt attached, nbdcrypt detach. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/attach/attach-json.h"
#include "server/attach/attach-record.h"
#include "server/attach/by-name.h"
#include "server/attach/command-attach.h"
#include "server/attach/nbd-device-use.h"
#include "server/attach/nbd-device.h"
#include "server/attach/nbd-netlink.h"
#include "server/attach/nbdtab.h"
#include "server/base/log.h"
#include "server/cli/command-line.h"
#include "server/cli/completion.h"
#include "server/cli/ctl.h"
#include "server/cli/text-table.h"
#include "server/control/control-json.h"

/* ---- attached ---- */

struct attached_arguments {
    bool json, help;
};

#define FIELD(name) offsetof(struct attached_arguments, name)

static const struct param attached_params[] = {
    PARAM("json", FLAG, NULL, json, "for programs"),
    PARAM("help", FLAG, NULL, help, "show this help", .letter = 'h'),
    { .name = NULL },
};

#undef FIELD

static int attached(void *context, char **operands, struct error *err)
{
    static const struct text_column columns[] = {
        { .title = "DEVICE", .key = "device" },
        { .title = "NAME", .key = "name" },
        { .title = "SIZE", .key = "size_bytes", .right = true, .put = text_cell_size },
        { .title = "CONNECTIONS", .key = "connections", .right = true },
        { .title = "LOST", .key = "dead_connections", .right = true },
        { .title = "SUPERVISOR", .key = "supervisor", .right = true },
        { .title = "SOURCE", .key = "source" },
        { .title = NULL },
    };
    const struct attached_arguments *arguments = context;
    struct json_object *all = attach_json_all();

    (void)operands;
    (void)err;
    if (arguments->json) {
        ctl_print_json(all);
        return 0;
    }
    text_table_print(stdout, columns, all);
    json_object_put(all);
    return 0;
}

const struct command command_attached = {
    .name = "attached",
    .help = "list the block devices that attach has made",
    .about = "Lists the devices of the kernel's NBD client that are attached.",
    .operands = "",
    .params = attached_params,
    .arguments_bytes = sizeof(struct attached_arguments),
    .run = attached,
};

/* ---- detach ---- */

#define END_MS 10000u
#define LOOK_MS 20

struct detach_arguments {
    bool force, persist, if_attached, help;
};

#define FIELD(name) offsetof(struct detach_arguments, name)

static const struct param detach_params[] = {
    PARAM("force", FLAG, NULL, force, "even if it is in use: what is not written is lost"),
    PARAM("persist", FLAG, NULL, persist, "also take it out of /etc/nbdcrypt/nbdtab"),
    PARAM("if-attached", FLAG, NULL, if_attached, "it is no failure if it is not attached"),
    PARAM("help", FLAG, NULL, help, "show this help", .letter = 'h'),
    { .name = NULL },
};

#undef FIELD

/* What is to be detached.  Its number may be somebody else's soon: others attach, too. */
struct victim {
    unsigned index;
    char attacher[NBD_ATTACHER_BYTES];
    struct attach_record record; /* without a name: it is not ours */
    pid_t supervisor;            /* 0: none */
};

static bool is_there(const struct victim *victim)
{
    char attacher[NBD_ATTACHER_BYTES];

    nbd_device_attacher(attacher, victim->index);
    return attacher[0] != '\0' && strcmp(attacher, victim->attacher) == 0 &&
           (victim->record.name[0] == '\0' || attach_record_is_of(&victim->record, victim->index));
}

/* -ENOENT: it is not attached. */
static int find(struct victim *victim, const char *operand, struct error *err)
{
    bool named = attach_record_find(&victim->index, &victim->record, operand) == 0;

    if (!named && nbd_device_parse(&victim->index, operand, NULL) < 0)
        return error_set(
            err, -ENOENT,
            "nothing is attached under the name '%.200s': nbdcrypt attached lists what is",
            operand);
    nbd_device_attacher(victim->attacher, victim->index);
    if (!named && (attach_record_read(&victim->record, victim->index, NULL) < 0 ||
                   !attach_record_is_of(&victim->record, victim->index)))
        victim->record = (struct attach_record){ .size_bytes = 0 };
    victim->supervisor = attach_record_supervisor(victim->index);
    return is_there(victim) ? 0
                            : error_set(err, -ENOENT, "/dev/nbd%u is not attached", victim->index);
}

static bool has_supervisor(const struct victim *victim)
{
    return victim->supervisor > 0 && attach_record_supervisor(victim->index) == victim->supervisor;
}

/* It sees by itself that its device has gone, but within a second: it is told to look. */
static void end_supervisor(const struct victim *victim)
{
    if (has_supervisor(victim))
        (void)kill(victim->supervisor, SIGCONT);
    for (unsigned ms = 0; has_supervisor(victim) && ms < END_MS; ms += LOOK_MS)
        (void)poll(NULL, 0, LOOK_MS);
    if (has_supervisor(victim))
        (void)kill(victim->supervisor, SIGTERM);
}

/* Without a supervisor nobody else does.  Who attaches next has the lock before he writes. */
static void forget(const struct victim *victim)
{
    static struct attach_record found;
    int lock = attach_record_try_lock(victim->index);

    if (lock < 0)
        return;
    bool left = attach_record_read(&found, victim->index, NULL) == 0 &&
                !attach_record_is_of(&found, victim->index);
    if (left) {
        attach_record_remove(victim->index);
        by_name_remove(found.link, victim->index);
    }
    close(lock);
}

static int disconnect(const struct victim *victim, struct error *err)
{
    struct nbd_netlink *netlink;
    int result = nbd_netlink_open(&netlink, err);

    if (result < 0)
        return result;
    /* The kernel is told the number alone. */
    if (is_there(victim))
        result = nbd_netlink_detach(netlink, victim->index, err);
    nbd_netlink_close(netlink);
    if (result < 0)
        error_prefix(err, "/dev/nbd%u: ", victim->index);
    return result;
}

static int take_away(const struct victim *victim, struct error *err)
{
    int result = disconnect(victim, err);

    /* The kernel keeps it as long as somebody has it open. */
    for (unsigned ms = 0; result == 0 && is_there(victim); ms += LOOK_MS) {
        if (ms >= END_MS)
            return error_set(err, -EBUSY,
                             "/dev/nbd%u is disconnected, but somebody has it open still",
                             victim->index);
        (void)poll(NULL, 0, LOOK_MS);
    }
    return result;
}

static int detach_one(const struct victim *victim, bool force, struct error *err)
{
    int result = force ? 0 : nbd_device_use(victim->index, err);

    if (result < 0) {
        error_prefix(err, "it is not detached: ");
        return result;
    }
    result = take_away(victim, err);
    if (result < 0)
        return result;
    end_supervisor(victim);
    forget(victim);
    return 0;
}

static int take_out_of_nbdtab(const char *name, struct error *err)
{
    int lock = attach_record_lock_tab(err);
    int result = lock < 0 ? lock : nbdtab_put(NBDTAB_PATH, name, NULL, NULL, err);

    if (lock >= 0)
        close(lock);
    return result;
}

static int detach(void *context, char **operands, struct error *err)
{
    const struct detach_arguments *arguments = context;
    static struct victim victim;
    const char *name = operands[0];
    int result = find(&victim, operands[0], err);

    if (result == 0) {
        result = detach_one(&victim, arguments->force, err);
        name = victim.record.name[0] != '\0' ? victim.record.name : name;
    } else if (result == -ENOENT && arguments->if_attached) {
        result = 0;
    }
    if (result == -ENOENT && arguments->persist)
        error_set(err, result,
                  "'%.200s' is not attached, and its line in %s stays if there is one: "
                  "--if-attached takes that away all the same",
                  operands[0], NBDTAB_PATH);
    if (result == 0 && arguments->persist)
        result = take_out_of_nbdtab(name, err);
    return result;
}

/* Names and devices that are attached. */
static const char *offer(FILE *out, const struct typing *typing)
{
    if (typing->param != NULL || typing->operand_count > 0)
        return NULL;
    struct json_object *all = attach_json_all();
    for (size_t i = 0; i < json_object_array_length(all); i++) {
        struct json_object *one = json_object_array_get_idx(all, i);
        const char *name = control_text(one, "name"), *device = control_text(one, "device");

        completion_offer(out, name != NULL ? name : device, device, typing->typed);
    }
    json_object_put(all);
    return NULL;
}

const struct command command_detach = {
    .name = "detach",
    .help = "take a block device away that attach has made",
    .about = "Detaches what attach has attached, by its name or device.  Refuses as long as\n"
             "somebody uses it.",
    .operands = "NAME|DEVICE",
    .params = detach_params,
    .arguments_bytes = sizeof(struct detach_arguments),
    .run = detach,
    .offer = offer,
};
