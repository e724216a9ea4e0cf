/* nbdcrypt tls: see command-tls.h.  A row of `commands` for each of its commands; what they say
 * when they are done is in tls-advice.c. */
#include "server/cli/command-tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/cli/command-line.h"
#include "server/base/log.h"
#include "server/base/params.h"
#include "server/pki/pki-name.h"
#include "server/pki/pki-report.h"
#include "server/pki/pki-store.h"
#include "server/pki/pki-table.h"
#include "server/pki/pki.h"
#include "server/pki/psk-users.h"
#include "server/pki/tls-advice.h"

#define EXIT_USAGE 2
#define OPERANDS_MAX 2

struct arguments {
    struct param_list hosts, dns, uris;
    const char *client;
    unsigned days, ca_days;
    bool force, remove, json, help;
    const char *operands[OPERANDS_MAX];
};

struct tls_command {
    const char *name;
    const char *help;
    const char *about; /* what its own help says */
    const struct param *params;
    const char *operands[OPERANDS_MAX]; /* what they are called; NULL: there are no more */
    int (*check)(struct arguments *arguments, struct error *err);     /* of its usage; or NULL */
    int (*run)(const struct arguments *arguments, struct error *err); /* 1: see the output */
};

#define FIELD(name) offsetof(struct arguments, name)
#define HELP_ROW PARAM("help", FLAG, NULL, help, "show this help", .letter = 'h')
#define DAYS_ROW(text) PARAM("days", UINT, "N", days, text, .min = 1, .max = PKI_DAYS_MAX)
#define HOST_ROW(text) PARAM("host", LIST, "NAME", hosts, text)
#define FORCE_ROW(text) PARAM("force", FLAG, NULL, force, text)

static const struct param init_params[] = {
    HOST_ROW("DNS name or IP address by which clients know the server (repeatable)"),
    PARAM("client", STRING, "NAME", client, "name of the first client; \"client\" by default"),
    DAYS_ROW("how long the certificates are valid; 365 by default"),
    PARAM("ca-days", UINT, "N", ca_days, "how long the authority is; 3650 by default", .min = 1,
          .max = PKI_DAYS_MAX),
    FORCE_ROW("replace an authority, and with it all that it has made"),
    HELP_ROW,
    { .name = NULL },
};

static const struct param client_params[] = {
    DAYS_ROW("how long the certificate is valid; 365 by default"),
    PARAM("dns", LIST, "NAME", dns, "DNS name to put into the certificate (repeatable)"),
    PARAM("uri", LIST, "URI", uris, "URI to put into the certificate (repeatable)"),
    FORCE_ROW("replace the files of a client that is there"),
    HELP_ROW,
    { .name = NULL },
};

static const struct param server_params[] = {
    HOST_ROW("as for init (repeatable); by default those of the present certificate"),
    DAYS_ROW("how long the certificate is valid; 365 by default"),
    HELP_ROW,
    { .name = NULL },
};

static const struct param revoke_params[] = {
    HELP_ROW,
    { .name = NULL },
};

static const struct param psk_params[] = {
    FORCE_ROW("replace the key of a user who has one"),
    PARAM("remove", FLAG, NULL, remove, "remove the key of a user"),
    HELP_ROW,
    { .name = NULL },
};

static const struct param show_params[] = {
    PARAM("json", FLAG, NULL, json, "print JSON, in a form that scripts can rely on"),
    HELP_ROW,
    { .name = NULL },
};

/* ---- usage ---- */

static int check_list(const struct param_list *list, const char *option,
                      int (*check)(const char *text, struct error *err), struct error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        int result = check(list->items[i], err);

        if (result < 0) {
            error_prefix(err, "%s: ", option);
            return result;
        }
        for (size_t k = 0; k < i; k++) {
            if (strcasecmp(list->items[i], list->items[k]) == 0)
                return error_set(err, -EINVAL, "%s %.80s is there twice", option, list->items[i]);
        }
    }
    return 0;
}

static int check_init(struct arguments *arguments, struct error *err)
{
    int result = check_list(&arguments->hosts, "--host", pki_host_check, err);

    if (!arguments->client)
        arguments->client = "client";
    if (!arguments->ca_days)
        arguments->ca_days = PKI_STORE_CA_DAYS;
    if (result == 0 && arguments->hosts.count == 0)
        result = error_set(err, -EINVAL,
                           "--host is missing: name the server as clients will, "
                           "such as --host storage.example.org");
    if (result == 0) {
        result = pki_name_check(arguments->client, err);
        if (result < 0)
            error_prefix(err, "--client: ");
    }
    if (result == 0 && arguments->days > arguments->ca_days)
        result = error_set(err, -EINVAL,
                           "--days %u: the authority is valid for %u days only, see --ca-days",
                           arguments->days, arguments->ca_days);
    return result;
}

static int check_client(struct arguments *arguments, struct error *err)
{
    int result = pki_name_check(arguments->operands[1], err);

    if (result == 0)
        result = check_list(&arguments->dns, "--dns", pki_dns_check, err);
    return result == 0 ? check_list(&arguments->uris, "--uri", pki_uri_check, err) : result;
}

static int check_server(struct arguments *arguments, struct error *err)
{
    return check_list(&arguments->hosts, "--host", pki_host_check, err);
}

static int check_psk(struct arguments *arguments, struct error *err)
{
    if (arguments->remove && arguments->force)
        return error_set(err, -EINVAL, "--force and --remove contradict each other");
    /* A name that others have put there can be removed, whatever it is. */
    return arguments->remove ? 0 : psk_users_check_user(arguments->operands[1], err);
}

/* ---- commands ---- */

static int run_init(const struct arguments *arguments, struct error *err)
{
    const char *path = arguments->operands[0];
    struct pki_store_request client = { .name = arguments->client, .days = arguments->days };
    struct pki_store_request server = {
        .hosts = arguments->hosts.items,
        .host_count = arguments->hosts.count,
        .days = arguments->days,
        .force = arguments->force,
    };
    int result = pki_store_create(path, arguments->ca_days, &server, &client, err);

    if (result == 0)
        tls_advice_init(path, arguments->client, &arguments->hosts);
    return result;
}

static int run_client(const struct arguments *arguments, struct error *err)
{
    struct pki_store_request client = {
        .name = arguments->operands[1],
        .hosts = arguments->dns.items,
        .host_count = arguments->dns.count,
        .uris = arguments->uris.items,
        .uri_count = arguments->uris.count,
        .days = arguments->days,
        .force = arguments->force,
    };
    int result = pki_store_add_client(arguments->operands[0], &client, err);

    if (result == 0)
        tls_advice_client(arguments->operands[0], client.name);
    return result;
}

static int run_server(const struct arguments *arguments, struct error *err)
{
    struct pki_store_request server = {
        .hosts = arguments->hosts.items,
        .host_count = arguments->hosts.count,
        .days = arguments->days,
    };
    int result = pki_store_renew_server(arguments->operands[0], &server, err);

    if (result == 0)
        tls_advice_server(arguments->operands[0]);
    return result;
}

static int run_revoke(const struct arguments *arguments, struct error *err)
{
    size_t revoked = 0;
    bool in_server = false;
    int result =
        pki_store_revoke(arguments->operands[0], arguments->operands[1], &revoked, &in_server, err);

    if (result == 0)
        tls_advice_revoke(arguments->operands[0], arguments->operands[1], revoked, in_server);
    return result;
}

static int run_psk(const struct arguments *arguments, struct error *err)
{
    enum psk_users_way way = arguments->remove  ? PSK_USERS_REMOVE
                             : arguments->force ? PSK_USERS_REPLACE
                                                : PSK_USERS_ADD;
    int result = psk_users_change(arguments->operands[0], arguments->operands[1], way, err);

    if (result == 0 && arguments->remove)
        tls_advice_psk_removed(arguments->operands[0], arguments->operands[1]);
    else if (result == 0)
        tls_advice_psk(arguments->operands[0], arguments->operands[1]);
    return result;
}

static int run_show(const struct arguments *arguments, struct error *err)
{
    const int flags = JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE;
    struct json_object *report = NULL, *usable = NULL;
    int result = pki_report_make(&report, arguments->operands[0], time(NULL), err);

    if (result < 0)
        return result;
    if (arguments->json)
        printf("%s\n", json_object_to_json_string_ext(report, flags));
    else
        pki_table_print(stdout, report);
    if (!json_object_object_get_ex(report, "usable", &usable) || !json_object_get_boolean(usable))
        result = 1;
    json_object_put(report);
    return result;
}

static const struct tls_command commands[] = {
    { "init",
      "make an authority, and certificates for a server and a client",
      "Makes the folder DIR with an authority of your own, a certificate for the server and one\n"
      "for a client, and tells where they go.\n",
      init_params,
      { "DIR" },
      check_init,
      run_init },
    { "client",
      "make a certificate for one more client",
      "Makes a certificate for the client NAME, in DIR/clients/NAME.\n",
      client_params,
      { "DIR", "NAME" },
      check_client,
      run_client },
    { "server",
      "renew the certificate of the server",
      "Makes a new key and certificate for the server, in DIR/server.\n",
      server_params,
      { "DIR" },
      check_server,
      run_server },
    { "revoke",
      "revoke the certificates of a client",
      "Revokes all certificates of the client NAME, in DIR/server/ca-crl.pem.\n",
      revoke_params,
      { "DIR", "NAME" },
      NULL,
      run_revoke },
    { "psk",
      "give a user a pre-shared key, or take it away",
      "Adds USER with a new random key to FILE, which is made if there is none, or removes USER.\n",
      psk_params,
      { "FILE", "USER" },
      check_psk,
      run_psk },
    { "show",
      "show certificates and keys, and what is wrong with them",
      "Shows the certificates, lists of revoked ones and pre-shared keys in a file or folder.\n"
      "No key is shown.  The exit status is 1 when something can't be used.\n",
      show_params,
      { "PATH" },
      NULL,
      run_show },
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

/* ---- the command ---- */

static void print_usage(const struct tls_command *command)
{
    printf("nbdcrypt tls %s [OPTIONS]", command->name);
    for (unsigned i = 0; i < OPERANDS_MAX && command->operands[i]; i++)
        printf(" %s", command->operands[i]);
    printf("\n");
}

static int print_command_help(const struct tls_command *command)
{
    printf("Usage: ");
    print_usage(command);
    printf("\n%s\n", command->about);
    params_print_help(stdout, command->params);
    return command_line_finish();
}

static int take_operands(struct arguments *arguments, const struct tls_command *command, int first,
                         int argc, char **argv, struct error *err)
{
    for (unsigned i = 0; i < OPERANDS_MAX && command->operands[i]; i++) {
        if (first == argc)
            return error_set(err, -EINVAL, "no %s was given: nbdcrypt tls %s --help tells more",
                             command->operands[i], command->name);
        arguments->operands[i] = argv[first++];
    }
    if (first < argc)
        return error_set(err, -EINVAL, "'%.80s' is one argument too many", argv[first]);
    return 0;
}

static int parse(struct arguments *arguments, const struct tls_command *command, int argc,
                 char **argv, struct error *err)
{
    int first = argc;
    int result = params_parse_argv(arguments, command->params, argc, argv, &first, err);

    if (result < 0 || arguments->help)
        return result;
    result = take_operands(arguments, command, first, argc, argv, err);
    if (result == 0 && command->check)
        result = command->check(arguments, err);
    return result;
}

static int run_with(const struct tls_command *command, struct arguments *arguments, int argc,
                    char **argv)
{
    struct error err = { "" };
    int result;

    if (parse(arguments, command, argc, argv, &err) < 0) {
        log_error("%s", err.text);
        return EXIT_USAGE;
    }
    if (arguments->help)
        return print_command_help(command);
    result = command->run(arguments, &err);
    if (result < 0)
        log_error("%s", err.text);
    if (command_line_finish() != EXIT_SUCCESS || result != 0)
        return EXIT_FAILURE;
    return EXIT_SUCCESS;
}

/* argv[0] is the name of one of `commands`. */
static int run_named(int argc, char **argv)
{
    const struct tls_command *command = commands;
    struct arguments arguments = { 0 };

    while (strcmp(command->name, argv[0]) != 0)
        command++;
    int status = run_with(command, &arguments, argc, argv);
    params_free(&arguments, command->params);
    return status;
}

int command_tls(int argc, char **argv)
{
    struct subcommand table[COMMAND_COUNT + 1] = { 0 };

    for (size_t i = 0; i < COMMAND_COUNT; i++)
        table[i] = (struct subcommand){ commands[i].name, commands[i].help, run_named };
    return subcommand_run("tls", table, argc, argv);
}
