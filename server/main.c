/* nbdcrypt COMMAND ...: finds the command and runs it.
 * Exit status: 0, 1 failure, 2 usage. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "server/command-format.h"
#include "server/command-header.h"
#include "server/command-info.h"
#include "server/command-key.h"
#include "server/command-line.h"
#include "server/command-serve.h"
#include "server/command-tls.h"
#include "server/command-token.h"
#include "server/log.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown (built without configure)"
#endif

#define EXIT_USAGE 2

struct command {
    const char *name;
    const char *help;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit status */
};

static const struct command commands[] = {
    { "serve", "serve encrypted disks over NBD", command_serve },
    { "format", "make an encrypted disk", command_format },
    { "info", "show what an image holds", command_info },
    { "tls", "make and show certificates and keys for TLS", command_tls },
    { "key", "add, remove, change, test and list the keys of an image", command_key },
    { "header", "back up and restore the header of an image", command_header },
    { "token", "list, import, export and remove the tokens of a LUKS2 image", command_token },
    { "erase", "wipe all keys of an image", command_erase },
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

/* Keys are in locked memory that is left out of core dumps, but sectors in plain text are
 * all over the heap: no core at all, unless a developer asks for one. */
static void forbid_core_dumps(void)
{
    const char *allow = getenv("NBDCRYPT_ALLOW_CORE");
    struct rlimit limit;

    if (allow && !strcmp(allow, "1"))
        return;
    if (getrlimit(RLIMIT_CORE, &limit) == 0) {
        limit.rlim_cur = 0;
        if (setrlimit(RLIMIT_CORE, &limit) != 0)
            log_warning("core dumps can't be limited: %m");
    }
    if (prctl(PR_SET_DUMPABLE, 0) != 0)
        log_warning("core dumps can't be switched off: %m");
}

static int print_help(void)
{
    printf("nbdcrypt serves encrypted disks as network block devices (NBD).\n"
           "\n"
           "Usage: nbdcrypt COMMAND [OPTIONS] ...\n"
           "\n"
           "Commands:\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %-10s%s\n", commands[i].name, commands[i].help);
    printf("\n"
           "  nbdcrypt COMMAND --help    tells what a command takes\n"
           "  nbdcrypt --version         prints the version\n"
           "\n"
           "Example:\n"
           "  nbdcrypt serve --key-file key --unix nbd.sock disk.luks\n");
    return command_line_finish();
}

static int print_version(void)
{
    printf("nbdcrypt %s\n", PACKAGE_VERSION);
    return command_line_finish();
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    }
    return NULL;
}

static int run(int argc, char **argv)
{
    const struct command *command;

    if (argc < 2) {
        log_error("no command was given: nbdcrypt --help lists them");
        return EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return print_help();
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
        return print_version();
    command = find_command(argv[1]);
    if (!command) {
        log_error("there is no command '%s': nbdcrypt --help lists them", argv[1]);
        return EXIT_USAGE;
    }
    return command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    /* A client that has gone is an error of its send, not the end of the server. */
    signal(SIGPIPE, SIG_IGN);
    /* A limit on the size of files (ulimit -f) is an error of the write, EFBIG. */
    signal(SIGXFSZ, SIG_IGN);
    forbid_core_dumps();
    return run(argc, argv);
}
