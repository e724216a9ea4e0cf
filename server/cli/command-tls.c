/* nbdcrypt tls: see command-tls.h.  What they say when they are done is in tls-advice.c. */
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

struct arguments {
    struct param_list hosts, dns, uris;
    const char *client;
    unsigned days, ca_days;
    bool force, remove, json, help;
};

#define FIELD(name) offsetof(struct arguments, name)
#define HELP_ROW PARAM("help", FLAG, NULL, help, "show this help", .letter = 'h')
#define DAYS_ROW(text) PARAM("days", UINT, "N", days, text, .min = 1, .max = PKI_DAYS_MAX)
#define HOST_ROW(text) PARAM("host", LIST, "NAME", hosts, text)
#define FORCE_ROW(text) PARAM("force", FLAG, NULL, force, text, .never_proposed = true)

static const struct param init_params[] = {
    HOST_ROW("DNS name or IP address by which clients know the server (repeatable)"),
    PARAM("client", STRING, "NAME", client, "name of the first client (default: client)"),
    DAYS_ROW("how long the certificates are valid (default: 365)"),
    PARAM("ca-days", UINT, "N", ca_days, "how long the authority is (default: 3650)", .min = 1,
          .max = PKI_DAYS_MAX),
    FORCE_ROW("replace an authority, and with it all that it has made"),
    HELP_ROW,
    { .name = NULL },
};

static const struct param client_params[] = {
    DAYS_ROW("how long the certificate is valid (default: 365)"),
    PARAM("dns", LIST, "NAME", dns, "DNS name to put into the certificate (repeatable)"),
    PARAM("uri", LIST, "URI", uris, "URI to put into the certificate (repeatable)"),
    FORCE_ROW("replace the files of a client that is there"),
    HELP_ROW,
    { .name = NULL },
};

static const struct param server_params[] = {
    HOST_ROW("as for init (repeatable; default: those of the present certificate)"),
    DAYS_ROW("how long the certificate is valid (default: 365)"),
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

static int check_init(void *context, char **operands, struct error *err)
{
    struct arguments *arguments = context;
    int result = check_list(&arguments->hosts, "--host", pki_host_check, err);

    (void)operands;
    if (arguments->client == NULL)
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

static int check_client(void *context, char **operands, struct error *err)
{
    struct arguments *arguments = context;
    int result = pki_name_check(operands[1], err);

    if (result == 0)
        result = check_list(&arguments->dns, "--dns", pki_dns_check, err);
    return result == 0 ? check_list(&arguments->uris, "--uri", pki_uri_check, err) : result;
}

static int check_server(void *context, char **operands, struct error *err)
{
    struct arguments *arguments = context;

    (void)operands;
    return check_list(&arguments->hosts, "--host", pki_host_check, err);
}

static int check_psk(void *context, char **operands, struct error *err)
{
    struct arguments *arguments = context;
    if (arguments->remove && arguments->force)
        return error_set(err, -EINVAL, "--force and --remove contradict each other");
    /* A name that others have put there can be removed, whatever it is. */
    return arguments->remove ? 0 : psk_users_check_user(operands[1], err);
}

/* ---- commands ---- */

static int run_init(void *context, char **operands, struct error *err)
{
    const struct arguments *arguments = context;
    const char *path = operands[0];
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

static int run_client(void *context, char **operands, struct error *err)
{
    const struct arguments *arguments = context;
    struct pki_store_request client = {
        .name = operands[1],
        .hosts = arguments->dns.items,
        .host_count = arguments->dns.count,
        .uris = arguments->uris.items,
        .uri_count = arguments->uris.count,
        .days = arguments->days,
        .force = arguments->force,
    };
    int result = pki_store_add_client(operands[0], &client, err);

    if (result == 0)
        tls_advice_client(operands[0], client.name);
    return result;
}

static int run_server(void *context, char **operands, struct error *err)
{
    const struct arguments *arguments = context;
    struct pki_store_request server = {
        .hosts = arguments->hosts.items,
        .host_count = arguments->hosts.count,
        .days = arguments->days,
    };
    int result = pki_store_renew_server(operands[0], &server, err);

    if (result == 0)
        tls_advice_server(operands[0]);
    return result;
}

static int run_revoke(void *context, char **operands, struct error *err)
{
    (void)context;
    size_t revoked = 0;
    bool in_server = false;
    int result = pki_store_revoke(operands[0], operands[1], &revoked, &in_server, err);

    if (result == 0)
        tls_advice_revoke(operands[0], operands[1], revoked, in_server);
    return result;
}

static int run_psk(void *context, char **operands, struct error *err)
{
    const struct arguments *arguments = context;
    enum psk_users_way way = arguments->remove  ? PSK_USERS_REMOVE
                             : arguments->force ? PSK_USERS_REPLACE
                                                : PSK_USERS_ADD;
    int result = psk_users_change(operands[0], operands[1], way, err);

    if (result == 0 && arguments->remove)
        tls_advice_psk_removed(operands[0], operands[1]);
    else if (result == 0)
        tls_advice_psk(operands[0], operands[1]);
    return result;
}

static int run_show(void *context, char **operands, struct error *err)
{
    const struct arguments *arguments = context;
    const int flags = JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE;
    struct json_object *report = NULL, *usable = NULL;
    int result = pki_report_make(&report, operands[0], time(NULL), err);

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

/* ---- the commands ---- */

static const struct command tls_init = {
    .name = "tls init",
    .help = "make an authority, and certificates for a server and a client",
    .about = "Makes the folder DIR with an authority of your own, a certificate for the server\n"
             "and one for a client, and tells where they go.",
    .operands = "DIR",
    .params = init_params,
    .arguments_bytes = sizeof(struct arguments),
    .check = check_init,
    .run = run_init,
};

static const struct command tls_client = {
    .name = "tls client",
    .help = "make a certificate for one more client",
    .about = "Makes a certificate for the client NAME, in DIR/clients/NAME.",
    .operands = "DIR NAME",
    .params = client_params,
    .arguments_bytes = sizeof(struct arguments),
    .check = check_client,
    .run = run_client,
};

static const struct command tls_server = {
    .name = "tls server",
    .help = "renew the certificate of the server",
    .about = "Makes a new key and certificate for the server, in DIR/server.",
    .operands = "DIR",
    .params = server_params,
    .arguments_bytes = sizeof(struct arguments),
    .check = check_server,
    .run = run_server,
};

static const struct command tls_revoke = {
    .name = "tls revoke",
    .help = "revoke the certificates of a client",
    .about = "Revokes all certificates of the client NAME, in DIR/ca-crl.pem with a\n"
             "copy in DIR/server. Copy that to the server, and send it SIGHUP or run\n"
             "nbdcrypt ctl reload: until then the client is served.",
    .operands = "DIR NAME",
    .params = revoke_params,
    .arguments_bytes = sizeof(struct arguments),
    .run = run_revoke,
};

static const struct command tls_psk = {
    .name = "tls psk",
    .help = "give a user a pre-shared key, or take it away",
    .about = "Adds USER with a new random key to FILE, which is made if there is none, or\n"
             "removes USER.",
    .operands = "FILE USER",
    .params = psk_params,
    .arguments_bytes = sizeof(struct arguments),
    .check = check_psk,
    .run = run_psk,
};

static const struct command tls_show = {
    .name = "tls show",
    .help = "show certificates and keys, and what is wrong with them",
    .about = "Shows the certificates, lists of revoked ones and pre-shared keys in a file or\n"
             "folder.  No key is shown.  The exit status is 1 when something can't be used.",
    .operands = "PATH",
    .params = show_params,
    .arguments_bytes = sizeof(struct arguments),
    .run = run_show,
};

static const struct command *const tls_commands[] = { &tls_init,   &tls_client, &tls_server,
                                                      &tls_revoke, &tls_psk,    &tls_show,
                                                      NULL };

const struct command command_tls = {
    .name = "tls",
    .help = "make and show certificates and keys for TLS",
    .commands = tls_commands,
};
