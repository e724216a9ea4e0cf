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

/* -ENOENT: it is not attached. */
static int find(unsigned *index, struct attach_record *record, const char *operand,
                struct error *err)
{
    if (attach_record_find(index, record, operand) == 0)
        return 0;
    if (nbd_device_parse(index, operand, NULL) < 0)
        return error_set(err, -ENOENT, "nothing is attached under the name '%.200s'", operand);
    if (!nbd_device_is_attached(*index))
        return error_set(err, -ENOENT, "/dev/nbd%u is not attached", *index);
    if (attach_record_read(record, *index, NULL) < 0 || !attach_record_is_of(record, *index))
        *record = (struct attach_record){ .size_bytes = 0 };
    return 0;
}

/* Its supervisor sees by itself that it has gone, but within a second: it is told to look. */
static void end_supervisor(unsigned index)
{
    pid_t supervisor = attach_record_supervisor(index);

    if (supervisor > 0)
        (void)kill(supervisor, SIGCONT);
    for (unsigned ms = 0; supervisor > 0 && ms < END_MS; ms += LOOK_MS) {
        (void)poll(NULL, 0, LOOK_MS);
        if (attach_record_supervisor(index) == 0)
            return;
    }
    if (supervisor > 0)
        (void)kill(supervisor, SIGTERM);
}

static int take_away(unsigned index, struct error *err)
{
    struct nbd_netlink *netlink;
    int result = nbd_netlink_open(&netlink, err);

    if (result < 0)
        return result;
    result = nbd_netlink_detach(netlink, index, err);
    nbd_netlink_close(netlink);
    if (result < 0) {
        error_prefix(err, "/dev/nbd%u: ", index);
        return result;
    }
    /* The kernel keeps it as long as somebody has it open. */
    for (unsigned ms = 0; nbd_device_is_attached(index); ms += LOOK_MS) {
        if (ms >= END_MS)
            return error_set(err, -EBUSY,
                             "/dev/nbd%u is disconnected, but somebody has it open still", index);
        (void)poll(NULL, 0, LOOK_MS);
    }
    return 0;
}

static int detach_one(unsigned index, const struct attach_record *record, bool force,
                      struct error *err)
{
    int result = force ? 0 : nbd_device_use(index, err);

    if (result < 0) {
        error_prefix(err, "it is not detached: ");
        return result;
    }
    result = take_away(index, err);
    if (result < 0)
        return result;
    end_supervisor(index);
    attach_record_remove(index);
    by_name_remove(record->link, index);
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
    static struct attach_record record;
    const char *name = operands[0];
    unsigned index;
    int result = find(&index, &record, operands[0], err);

    if (result == 0) {
        result = detach_one(index, &record, arguments->force, err);
        name = record.name[0] != '\0' ? record.name : name;
    } else if (result == -ENOENT && arguments->if_attached) {
        result = 0;
    }
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
