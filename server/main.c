/* nbdcrypt COMMAND ...: finds the command and runs it.
 * Exit status: 0, 1 failure, 2 usage. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "crypto/secret.h"
#include "plugins/plugin-table.h"
#include "server/attach/command-attach.h"
#include "server/block/image.h"
#include "server/cli/command-audit.h"
#include "server/cli/command-ctl.h"
#include "server/cli/command-format.h"
#include "server/cli/command-header.h"
#include "server/cli/command-info.h"
#include "server/cli/command-key.h"
#include "server/cli/command-list.h"
#include "server/cli/command-line.h"
#include "server/copy/command-compare.h"
#include "server/copy/command-convert.h"
#include "server/copy/command-map.h"
#include "server/copy/command-measure.h"
#include "server/report/guard.h"
#include "server/report/post-mortem.h"
#include "server/serve/command-check.h"
#include "server/serve/command-serve.h"
#include "server/cli/command-tls.h"
#include "server/cli/command-token.h"
#include "server/cli/completion.h"
#include "server/base/log.h"
#include "server/base/signals.h"
#include "server/base/spawner.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown (built without configure)"
#endif

static int help(int argc, char **argv);

static const struct command command_help = {
    .name = "help",
    .help = "tell what a command takes",
    .run_itself = help,
    .takes_commands = true,
};

static int complete(int argc, char **argv);

/* For dist/completion, not for people. */
static const struct command command_complete = { .name = "__complete", .run_itself = complete };

/* clang-format off */
static const struct command *const commands[] = {
    &command_serve,
    &command_check_config,
    &command_ctl,
    &command_audit,
    &command_format,
    &command_info,
    &command_list,
    &command_map,
    &command_measure,
    &command_compare,
    &command_convert,
    &command_tls,
    &command_key,
    &command_header,
    &command_token,
    &command_erase,
    &command_attach,
    &command_attached,
    &command_detach,
    &command_help,
    &command_complete,
    NULL,
};
/* clang-format on */

static const struct command program = { .name = "", .commands = commands };

/* Keys are in locked memory that is left out of core dumps, but sectors in plain text are
 * all over the heap: no core at all, unless a developer asks for one. */
static void forbid_core_dumps(void)
{
    const char *allow = getenv("NBDCRYPT_ALLOW_CORE");
    struct rlimit limit;

    if (allow != NULL && !strcmp(allow, "1"))
        return;
    if (getrlimit(RLIMIT_CORE, &limit) == 0) {
        limit.rlim_cur = 0;
        if (setrlimit(RLIMIT_CORE, &limit) != 0)
            log_warning("core dumps can't be limited: %m");
    }
    if (prctl(PR_SET_DUMPABLE, 0) != 0)
        log_warning("core dumps can't be switched off: %m");
}

static void warn_of_unlocked(int error)
{
    log_warning("keys can't be locked in memory, so that they may be swapped out: %s; raise "
                "`ulimit -l` (LimitMEMLOCK= of a service), or encrypt the swap space",
                strerror(error));
}

static int print_help(void)
{
    printf("nbdcrypt serves encrypted disks as network block devices (NBD).\n"
           "\n"
           "Usage: nbdcrypt COMMAND [OPTIONS] ...\n"
           "\n"
           "Commands:\n");
    for (size_t i = 0; commands[i] != NULL; i++)
        if (commands[i]->help != NULL)
            printf("  %-12s%s\n", commands[i]->name, commands[i]->help);
    printf("\n"
           "An IMAGE is one of:\n");
    for (size_t i = 0; plugin_table[i] != NULL; i++)
        printf("  %s\n", plugin_table[i]->description);
    printf("\n"
           "  nbdcrypt help COMMAND      tells what a command takes\n"
           "  nbdcrypt --version         prints the version\n"
           "\n"
           "Example:\n"
           "  nbdcrypt serve --key-file key --unix nbd.sock disk.luks\n");
    return command_line_finish();
}

/* help key add */
static int help(int argc, char **argv)
{
    char option[] = "--help";
    int used;
    const struct command *found = command_line_find(&program, argc - 1, argv + 1, &used);
    char *asked[] = { argv[used], option, NULL };

    if (argc < 2 || argv[1][0] == '-' || found == &command_help)
        return print_help();
    if (used < argc - 1 && found->commands != NULL)
        return command_line_run(found, argc - used, argv + used); /* there is no such command */
    return command_line_run(found, 2, asked);
}

static int complete(int argc, char **argv)
{
    completion_print(stdout, &program, argc - 1, argv + 1);
    return command_line_finish();
}

static int print_version(void)
{
    printf("nbdcrypt %s\n", PACKAGE_VERSION);
    return command_line_finish();
}

static int run(int argc, char **argv)
{
    if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
        return print_help();
    if (argc > 1 && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")))
        return print_version();
    return command_line_run(&program, argc, argv);
}

int main(int argc, char **argv)
{
    int status;

    guard_take_signal();
    spawner_set_last_words(post_mortem);
    if (spawner_is_this(argc, argv, &status))
        return status;
    spawner_note_limits();
    signals_of_writing_are_errors();
    forbid_core_dumps();
    image_set_backends(plugin_table);
    secret_tell_unlocked(warn_of_unlocked);
    return run(argc, argv);
}
