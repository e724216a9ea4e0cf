/* nbdcrypt attach. */
#include "server/attach/command-attach.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/attach/attach-json.h"
#include "server/attach/attach-record.h"
#include "server/attach/attach-run.h"
#include "server/attach/background.h"
#include "server/attach/nbd-device.h"
#include "server/attach/nbdtab.h"
#include "server/base/log-service.h"
#include "server/base/log.h"
#include "server/cli/command-line.h"
#include "server/cli/ctl-complete.h"
#include "server/serve/notify.h"

#define LAST_MS 1000u /* for its last words */

static atomic_bool stop_asked;

static void on_signal(int number)
{
    if (number != SIGCONT)
        atomic_store(&stop_asked, true);
}

/* A call that waits is to notice them.  SIGCONT comes from `detach`: something has changed. */
static void take_signals(void)
{
    static const int numbers[] = { SIGTERM, SIGINT, SIGCONT, SIGHUP };
    const struct sigaction action = { .sa_handler = on_signal };
    struct sigaction now;

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i] != SIGHUP || /* with nohup it is ignored */
            (sigaction(SIGHUP, NULL, &now) == 0 && now.sa_handler != SIG_IGN))
            (void)sigaction(numbers[i], &action, NULL);
    if (background_is_this())
        background_begin();
}

/* ---- nbdtab ---- */

/* What stands on the command line is before what stands in the file. */
static void merge(struct attach_options *out, const struct attach_options *given)
{
    const struct attach_options *usual = &attach_options_default;
    const struct {
        unsigned *out, given, usual;
    } numbers[] = {
        { &out->connections, given->connections, usual->connections },
        { &out->timeout_seconds, given->timeout_seconds, usual->timeout_seconds },
        { &out->dead_timeout_seconds, given->dead_timeout_seconds, usual->dead_timeout_seconds },
        { &out->wait_seconds, given->wait_seconds, usual->wait_seconds },
        { &out->block_bytes, given->block_bytes, usual->block_bytes },
    };

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i].given != numbers[i].usual)
            *numbers[i].out = numbers[i].given;
    out->read_only |= given->read_only;
    out->tls_proxy |= given->tls_proxy;
    if (given->name != NULL)
        out->name = given->name;
    if (given->device != NULL)
        out->device = given->device;
    if (given->socket != NULL)
        out->socket = given->socket;
}

/* 1: `operand` is a name of nbdtab, and these are its options; 0: it is none. */
static int look_up(struct attach_options *options, struct nbdtab_line *line, const char *operand,
                   struct error *err)
{
    struct attach_options found = attach_options_default;
    int result = strstr(operand, "://") == NULL ? nbdtab_find(line, NBDTAB_PATH, operand, err) : 0;

    if (result != 1)
        return result;
    found.name = line->name;
    result = nbdtab_options(&found, line, err);
    if (result < 0) {
        error_prefix(err, "%s: ", NBDTAB_PATH);
        return result;
    }
    merge(&found, options);
    found.foreground = options->foreground;
    found.persist = options->persist;
    found.grow = options->grow;
    found.json = options->json;
    *options = found;
    return 1;
}

/* ---- attaching ---- */

static int put_into_nbdtab(struct attach_run *run, struct error *err)
{
    int lock = attach_record_lock_tab(err);
    int result =
        lock < 0 ? lock : nbdtab_put(NBDTAB_PATH, run->record.name, run->source, run->options, err);

    if (lock >= 0)
        close(lock);
    if (result < 0)
        attach_run_undo(run);
    return result;
}

/* Nobody who reads what it says is waited for: he may need the disk. */
static void leave_the_terminal(void)
{
    struct error err;

    if (background_is_this())
        background_enter();
    else if (log_service_start(&err) < 0)
        log_warning("%s: who does not read this stops the supervisor", err.text);
}

static void supervise(struct attach_run *run)
{
    char state[128];

    leave_the_terminal();
    snprintf(state, sizeof state, "READY=1\nSTATUS=/dev/nbd%u", run->index);
    notify_service_manager(state);
    /* A service stays also when somebody else looks after it, and takes over when that one ends. */
    if (!run->looked_after || attach_run_await(run))
        attach_run_supervise(run);
    notify_service_manager("STOPPING=1");
    if (atomic_load(&stop_asked) && run->lock >= 0)
        log_warning("/dev/nbd%u stays attached, and nobody looks after it: nbdcrypt attach of the "
                    "same does, nbdcrypt detach takes it away",
                    run->index);
    log_service_stop(LAST_MS);
}

/* Who gives up before it is ready is left with nothing, or with what was there before. */
static int give_up(struct attach_run *run, struct error *err)
{
    if (run->found)
        return error_set(err, -ECANCELED,
                         "the program ends; /dev/nbd%u stays attached, as it was, and nobody looks "
                         "after it",
                         run->index);
    attach_run_undo(run);
    return error_set(err, -ECANCELED, "the program ends");
}

static int attach(struct attach_run *run, struct error *err)
{
    int result = attach_run(run, err);

    /* What asked it to end before this is heeded; what does so later came too late. */
    if (background_is_this())
        background_stay();
    if (result == 0 && atomic_load(&stop_asked) && !run->looked_after)
        result = give_up(run, err);
    if (result == 0 && run->options->persist)
        result = put_into_nbdtab(run, err);
    if (result < 0)
        return result;
    attach_json_print_one(run->index, run->options->json, !run->found || run->grown);
    (void)fflush(stdout);
    if (!run->looked_after || !background_is_this())
        supervise(run);
    return 0;
}

static int run(void *context, char **operands, struct error *err)
{
    struct attach_options *options = context;
    struct nbdtab_line line = { .text = NULL };
    struct attach_run it = { .options = options, .stop = &stop_asked, .source = operands[0] };

    if (!options->foreground)
        return background_start(err);
    options->device = operands[1];
    log_set_level(LOG_NOTICE); /* that a connection is there again, is one */
    take_signals();
    int result = look_up(options, &line, operands[0], err);
    if (result == 1)
        it.source = line.source;
    if (result >= 0)
        result = attach_target_parse(&it.target, it.source, err);
    if (result == 0) {
        it.target.control = options->socket;
        it.target.tls_proxy = options->tls_proxy;
        result = attach(&it, err);
        attach_run_end(&it);
        attach_target_free(&it.target);
    }
    nbdtab_free(&line);
    return result;
}

static int check(void *context, char **operands, struct error *err)
{
    struct attach_target target;
    unsigned index;
    int result = attach_options_check(context, err);

    if (result == 0 && operands[1] != NULL)
        result = nbd_device_parse(&index, operands[1], err);
    if (result == 0)
        result = attach_target_parse(&target, operands[0], err);
    if (result == 0)
        attach_target_free(&target);
    return result;
}

static const char *offer(FILE *out, const struct typing *typing)
{
    const char *name = typing->param != NULL ? typing->param->value : NULL;

    if (typing->param == NULL && typing->operand_count == 0)
        name = "NAME";
    return name == NULL || ctl_complete(out, name, typing, 1) ? NULL : name;
}

const struct command command_attach = {
    .name = "attach",
    .help = "make an export a block device of this machine",
    .about = "Attaches an export of the server of this machine, or of any NBD server, by\n"
             "the kernel's NBD client, prints the device, and dials again when connections\n"
             "are lost.  WHAT is the name of a line of /etc/nbdcrypt/nbdtab, else that of an\n"
             "export of the server of this machine, or an NBD URI.",
    .operands = "WHAT [DEVICE]",
    .params = attach_params,
    .arguments_bytes = sizeof(struct attach_options),
    .defaults = &attach_options_default,
    .check = check,
    .run = run,
    .offer = offer,
};
