#include "server/cli/command-ctl.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/base/log.h"
#include "server/base/params.h"
#include "server/cli/command-line.h"
#include "server/cli/completion.h"
#include "server/cli/ctl-changes.h"
#include "server/cli/ctl-complete.h"
#include "server/cli/ctl-events.h"
#include "server/cli/ctl-key.h"
#include "server/cli/ctl-looks.h"
#include "server/cli/ctl-limits.h"
#include "server/cli/ctl-metadata.h"
#include "server/cli/ctl-metrics.h"
#include "server/cli/ctl-reload.h"
#include "server/cli/ctl-report.h"
#include "server/cli/ctl-suspend.h"
#include "server/cli/ctl-top.h"
#include "server/keys/key-source.h"

#define TIMEOUT_SECONDS_DEFAULT 10u

/* ---- the command line ---- */

#define FIELD(name) offsetof(struct ctl_options, name)

static const struct param ctl_params[] = {
    PARAM("socket", STRING, "PATH", socket,
          "the control socket (default: /run/nbdcrypt/control, else "
          "$XDG_RUNTIME_DIR/nbdcrypt/control)"),
    PARAM("json", FLAG, NULL, json, "for programs"),
    PARAM("timeout", UINT, "SECONDS", timeout_seconds,
          "how long to wait for an answer (default: 10, and for a change until it is made)",
          .max = 86400),
    PARAM("type", STRING, "TYPE", type,
          "events: those of this type alone, such as client or client.denied"),
    PARAM("for", UINT, "SECONDS", for_seconds, "log: then the usual level is in force again",
          .min = 1, .max = 86400),
    PARAM("key-fd", UINT, "N", key_fd,
          "add, replace, resume, key: its passphrase is read from this file descriptor to its end",
          .min = 3, .max = 1048576),
    PARAM("key-file", STRING, "FILE", key_file,
          "key: ... or from this file; - is standard input (default: ask on the terminal)"),
    PARAM("new-key-file", STRING, "FILE", new_key_file,
          "key: the new passphrase, likewise (default: ask on the terminal)"),
    PARAM("new-key-fd", UINT, "N", new_key_fd, "key: ... or what this file descriptor has",
          .min = 3, .max = 1048576),
    PARAM("drain", UINT, "SECONDS", drain_seconds,
          "remove: hidden at once, its clients may stay so long", .min = 1, .max = 86400),
    PARAM("now", FLAG, NULL, now, "remove: its clients are told to go"),
    PARAM("if-present", FLAG, NULL, if_present, "remove: it is no failure if it is gone already"),
    PARAM("export", STRING, "NAME", export_name,
          "disconnect: the clients of this export; log: what is about it"),
    PARAM("rule", STRING, "RULE", rule,
          "disconnect: the clients that a rule of --allow matches, such as psk:vm7"),
    PARAM("persist", FLAG, NULL, persist,
          "add, remove: also in the configuration, for after the next start"),
    PARAM("delay", UINT, "SECONDS", delay_seconds, "top: between two looks (default: 2)",
          .letter = 'd', .min = 1, .max = 3600),
    PARAM("count", UINT, "N", count, "top: end after so many", .letter = 'n', .min = 1,
          .max = 1000000),
    PARAM("batch", FLAG, NULL, batch, "top: one table after the other, as if not on a terminal"),
    PARAM("dry-run", FLAG, NULL, dry_run, "reload: tell what it would do, and do nothing"),
    PARAM("replace", LIST, "NAME", replace,
          "reload: this export may be opened anew, and its clients disconnected (repeatable)"),
    PARAM("openmetrics", FLAG, NULL, openmetrics, "metrics: in that format"),
    PARAM("slow", FLAG, NULL, slow,
          "requests: the last that took longer than their export's slow-request"),
    PARAM("group", FLAG, NULL, group, "limits: NAME is that of a group of exports"),
    PARAM("help", FLAG, NULL, help, "print this text", .letter = 'h'),
    { 0 },
};

/* Options that verbs have of their own: the bit of each, and its option. */
enum {
    TYPE = 1,
    FOR = 2,
    KEY_FD = 4,
    DRAIN = 8,
    NOW = 16,
    TOP = 32,
    DRY_RUN = 64,
    REPLACE = 128,
    WHICH = 256,
    OPENMETRICS = 512,
    PERSIST = 1024,
    SLOW = 2048,
    EXPORT = 4096,
    GROUP = 8192,
    IF_PRESENT = 16384,
    KEY = 32768,
};

static const struct verb {
    const char *name, *operands, *help;
    int least, most; /* operands */
    unsigned options;
    int (*run)(struct ctl *ctl);
} verbs[] = {
    { .name = "status", .help = "how the server is", .run = ctl_status },
    { .name = "exports", .help = "what it serves", .run = ctl_exports },
    { .name = "clients", .help = "who is connected", .run = ctl_clients },
    { .name = "requests",
      .options = SLOW,
      .help = "what clients wait for; --slow: what took too long",
      .run = ctl_requests },
    { .name = "top",
      .options = TOP,
      .help = "what exports do, again and again, until q is pressed",
      .run = ctl_top },
    { .name = "metrics",
      .options = OPENMETRICS,
      .help = "its figures, in the text format of Prometheus",
      .run = ctl_metrics },
    { .name = "show",
      .operands = "NAME",
      .least = 1,
      .most = 1,
      .help = "all that is known of one export",
      .run = ctl_show },
    { .name = "events",
      .help = "what happens, as it happens, until interrupted",
      .options = TYPE,
      .run = ctl_events },
    { .name = "add",
      .operands = "NAME IMAGE [KEY=VALUE] ...",
      .least = 2,
      .most = INT_MAX,
      .options = KEY_FD | PERSIST,
      .help = "serve one more image, with options as of --export",
      .run = ctl_add },
    { .name = "replace",
      .operands = "NAME IMAGE [KEY=VALUE] ...",
      .least = 2,
      .most = INT_MAX,
      .options = KEY_FD,
      .help = "serve another image under the name; its clients are told to go",
      .run = ctl_replace },
    { .name = "remove",
      .operands = "NAME",
      .least = 1,
      .most = 1,
      .options = DRAIN | NOW | PERSIST | IF_PRESENT,
      .help = "serve it no more; without an option only if it has no clients",
      .run = ctl_remove },
    { .name = "limits",
      .operands = "NAME [KEY=VALUE] ...",
      .least = 1,
      .most = INT_MAX,
      .options = GROUP,
      .help = "how fast its clients may be; with words, what holds from now on",
      .run = ctl_limits },
    { .name = "groups", .help = "limits that several exports share", .run = ctl_groups },
    { .name = "suspend",
      .operands = "NAME",
      .least = 1,
      .most = 1,
      .help = "forget its key; its clients wait",
      .run = ctl_suspend },
    { .name = "resume",
      .operands = "NAME",
      .least = 1,
      .most = 1,
      .options = KEY_FD,
      .help = "read its key again; its clients go on",
      .run = ctl_resume },
    { .name = "key",
      .operands = "add|change|remove NAME [KEY=VALUE] ...",
      .least = 2,
      .most = INT_MAX,
      .options = KEY_FD | KEY,
      .help = "change its passphrases while it is served",
      .run = ctl_key },
    { .name = "disconnect",
      .operands = "[ID]",
      .most = 1,
      .options = WHICH | EXPORT,
      .help = "tell a client to go, or those of --export and --rule",
      .run = ctl_disconnect },
    { .name = "metadata",
      .operands = "get|set|remove NAME [NAMESPACE] [FILE]",
      .least = 2,
      .most = 4,
      .help = "what applications recorded of a disk",
      .run = ctl_metadata },
    { .name = "log",
      .operands = "error|warning|notice|info|debug|usual",
      .least = 1,
      .most = 1,
      .options = FOR | EXPORT,
      .help = "write to the log what is at least as grave",
      .run = ctl_log },
    { .name = "rescan",
      .operands = "[NAME]",
      .most = 1,
      .help = "notice images that have grown",
      .run = ctl_rescan },
    { .name = "reload",
      .options = DRY_RUN | REPLACE,
      .help = "read the configuration and the TLS files again",
      .run = ctl_reload },
    { .name = "report",
      .help = "all that it is and does, to find out what is wrong",
      .run = ctl_report },
    { .name = "drain",
      .help = "end the server as SIGTERM does, and wait for it",
      .run = ctl_drain },
};
#define VERBS (sizeof verbs / sizeof verbs[0])

static int print_help(void)
{
    printf("Asks a running server what it does, and tells it to change something.\n"
           "\n"
           "Usage: nbdcrypt ctl [OPTIONS] VERB [OPERAND] ...\n"
           "\n"
           "Verbs:\n");
    for (size_t i = 0; i < VERBS; i++) {
        const char *operands = verbs[i].operands != NULL ? verbs[i].operands : "";
        int used = printf("  %s %s", verbs[i].name, operands);

        if (used > 16)
            printf("\n%17s", "");
        else
            printf("%*s", 17 - used, "");
        printf("%s\n", verbs[i].help);
    }
    printf("\nOptions:\n");
    params_print_help(stdout, ctl_params);
    printf("\n"
           "Exit status: 0; 1 it failed; 2 wrong use; 3 there is no server; 4 this user\n"
           "may not do that; 5 the server or the export is busy, or something was changed\n"
           "meanwhile.\n");
    return command_line_finish();
}

static const struct verb *find_verb(const char *name, struct error *err)
{
    struct param names[VERBS + 1] = { 0 };

    for (size_t i = 0; i < VERBS; i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
        names[i].name = verbs[i].name;
    }
    const char *meant = params_nearest(names, name);
    if (meant != NULL)
        error_set(err, -EINVAL, "there is no 'ctl %.80s': did you mean %s?", name, meant);
    else
        error_set(err, -EINVAL, "there is no 'ctl %.80s': nbdcrypt ctl --help lists the verbs",
                  name);
    return NULL;
}

/* An option that this verb has not got; NULL: there is none. */
static const char *foreign_option(const struct verb *verb, const struct ctl_options *options)
{
    const struct {
        unsigned option;
        bool given;
        const char *text;
    } own[] = {
        { TYPE, options->type != NULL, "--type is for ctl events" },
        { FOR, options->for_seconds > 0, "--for is for ctl log" },
        { KEY_FD, options->key_fd > 0, "--key-fd is for ctl add, replace, resume and key" },
        { KEY, options->key_file != NULL, "--key-file is for ctl key" },
        { KEY, options->new_key_file != NULL, "--new-key-file is for ctl key" },
        { KEY, options->new_key_fd > 0, "--new-key-fd is for ctl key" },
        { DRAIN, options->drain_seconds > 0, "--drain is for ctl remove" },
        { NOW, options->now, "--now is for ctl remove" },
        { IF_PRESENT, options->if_present, "--if-present is for ctl remove" },
        { EXPORT, options->export_name != NULL, "--export is for ctl disconnect and log" },
        { WHICH, options->rule != NULL, "--rule is for ctl disconnect" },
        { PERSIST, options->persist, "--persist is for ctl add and remove" },
        { SLOW, options->slow, "--slow is for ctl requests" },
        { TOP, options->delay_seconds > 0, "--delay is for ctl top" },
        { TOP, options->count > 0, "--count is for ctl top" },
        { TOP, options->batch, "--batch is for ctl top" },
        { DRY_RUN, options->dry_run, "--dry-run is for ctl reload" },
        { REPLACE, options->replace.count > 0, "--replace is for ctl reload" },
        { GROUP, options->group, "--group is for ctl limits" },
        { OPENMETRICS, options->openmetrics, "--openmetrics is for ctl metrics" },
    };

    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (own[i].given && (verb->options & own[i].option) == 0)
            return own[i].text;
    return NULL;
}

static int check(const struct verb *verb, const struct ctl_options *options, int count,
                 char **operands, struct error *err)
{
    if (count < verb->least)
        return error_set(err, -EINVAL, "too few operands: nbdcrypt ctl %s %s", verb->name,
                         verb->operands);
    if (count > verb->most)
        return error_set(err, -EINVAL, "'%.80s' is one operand too many for ctl %s",
                         operands[verb->most], verb->name);
    if (foreign_option(verb, options) != NULL)
        return error_set(err, -EINVAL, "%s", foreign_option(verb, options));
    if (options->now && options->drain_seconds > 0)
        return error_set(err, -EINVAL,
                         "--now and --drain contradict each other: leave out one of the two");
    if (options->json && verb->run == ctl_metrics)
        return error_set(err, -EINVAL,
                         "ctl metrics has no JSON: leave out --json, or take ctl exports --json");
    if (options->type != NULL && !ctl_type_is_known(options->type))
        return ctl_type_tell(options->type, err);
    if (options->key_fd > 0 && !key_source_is_handed_down(options->key_fd)) /* our socket may be */
        return error_set(err, -EINVAL,
                         "--key-fd %u: descriptor %u is not open: give it by %u< FILE",
                         options->key_fd, options->key_fd, options->key_fd);
    for (int i = verb->least; verb->most == INT_MAX && i < count; i++)
        if (strchr(operands[i], '=') == NULL)
            return error_set(err, -EINVAL,
                             "'%.80s' is not KEY=VALUE: a word behind the %s is an option with "
                             "its value, such as %s",
                             operands[i],
                             verb->operands[0] == 'N' && verb->least > 1 ? "image" : "name",
                             verb->run == ctl_key ? "slot=1"
                             : verb->least > 1    ? "raw=yes"
                                                  : "limit-iops=500");
    return verb->run == ctl_key ? ctl_key_check(options, operands[0], err) : 0;
}

/* NULL: it is wrong, and *err says why. */
static const struct verb *parse(struct ctl *ctl, int argc, char **argv, struct error *err)
{
    int first = argc;

    if (params_parse_argv(&ctl->options, ctl_params, argc, argv, &first, err) < 0)
        return NULL;
    if (ctl->options.help)
        return NULL;
    if (first == argc) {
        error_set(err, -EINVAL, "no verb was given: nbdcrypt ctl --help lists them");
        return NULL;
    }
    const struct verb *verb = find_verb(argv[first], err);
    if (verb == NULL || check(verb, &ctl->options, argc - first - 1, argv + first + 1, err) < 0)
        return NULL;
    ctl->operand = first + 1 < argc ? argv[first + 1] : NULL;
    ctl->other_count = argc - first > 2 ? argc - first - 2 : 0;
    ctl->others = argv + argc - ctl->other_count;
    return verb;
}

static int ctl(int argc, char **argv)
{
    struct ctl it = { .options.timeout_seconds = UINT_MAX };
    struct error err = { "" };
    const struct verb *verb = parse(&it, argc, argv, &err);

    if (verb == NULL && it.options.help)
        return print_help();
    if (verb == NULL) {
        log_error("%s", err.text);
        return EXIT_USAGE;
    }
    it.timeout_given = it.options.timeout_seconds != UINT_MAX;
    unsigned seconds = it.timeout_given ? it.options.timeout_seconds : TIMEOUT_SECONDS_DEFAULT;
    int status = ctl_open(&it, seconds > 0 ? (int)seconds * 1000 : CONTROL_FOR_EVER);
    if (status == EXIT_SUCCESS)
        status = verb->run(&it);
    control_link_close(&it.link);
    params_free(&it.options, ctl_params);
    if (status == EXIT_SUCCESS)
        status = command_line_finish();
    return status;
}

/* ---- completion ---- */

/* Word number `index` of "NAME [FILE]"; NULL: there are no more. */
static const char *operand_name(const char *operands, int index)
{
    for (; index > 0 && operands != NULL; index--) {
        operands = strchr(operands, ' ');
        operands = operands != NULL ? operands + 1 : NULL;
    }
    return operands != NULL && *operands == '[' ? operands + 1 : operands;
}

static bool is_typed(const struct typing *typing, const char *word)
{
    for (int i = 0; i < typing->word_count; i++)
        if (strcmp(typing->words[i], word) == 0)
            return true;
    return false;
}

static const char *offer(FILE *out, const struct typing *typing)
{
    const struct verb *verb = NULL;
    const char *name = NULL;

    for (size_t i = 0; i < VERBS && typing->operand_count > 0; i++)
        if (strcmp(verbs[i].name, typing->operands[0]) == 0)
            verb = &verbs[i];
    for (size_t i = 0; i < VERBS && typing->operand_count == 0 && typing->param == NULL; i++)
        completion_offer(out, verbs[i].name, verbs[i].help, typing->typed);
    if (typing->param != NULL)
        name = typing->param->value;
    else if (verb != NULL)
        name = operand_name(verb->operands, typing->operand_count - 1);
    if (verb != NULL && verb->run == ctl_limits && typing->param == NULL &&
        typing->operand_count == 1 && is_typed(typing, "--group"))
        name = "GROUP";
    /* What is to be added has no name yet. */
    if (name == NULL || (verb != NULL && verb->run == ctl_add && typing->operand_count == 1))
        return NULL;
    return ctl_complete(out, name, typing, 2) ? NULL : name;
}

const struct command command_ctl = {
    .name = "ctl",
    .help = "ask a running server, or tell it to change something",
    .operands =
        "status|exports|clients|requests|top|metrics|show|events|add|replace|remove|limits|groups|"
        "suspend|resume|key|disconnect|metadata|log|rescan|reload|report|drain [OPERAND] ...",
    .params = ctl_params,
    .offer = offer,
    .run_itself = ctl,
};
