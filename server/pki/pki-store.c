#include "server/pki/pki-store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/pki/pki-folder.h"
#include "server/base/params.h"
#include "server/pki/pki-name.h"
#include "server/pki/pki.h"

#define DAY_SECONDS 86400
#define KEY_MODE 0600
#define PUBLIC_MODE 0644

#define CA_KEY "ca-key.pem"
#define CA_CERTIFICATE "ca-cert.pem"
#define REVOKED "ca-crl.pem"

struct store {
    struct pki_folder folder;
    struct pki_authority *authority;
    struct pki_pair ca; /* without its key when it was loaded */
};

#define STORE_CLOSED            \
    {                           \
        .folder = FOLDER_CLOSED \
    }

static void store_close(struct store *store)
{
    pki_authority_free(store->authority);
    pki_pair_free(&store->ca);
    pki_folder_close(&store->folder);
}

static int load_authority(struct store *store, struct error *err)
{
    struct secret *key = NULL;
    int result = pki_folder_read(&store->ca.certificate, &store->folder, CA_CERTIFICATE,
                                 PKI_STORE_FILE_BYTES_MAX, err);

    if (result == 0)
        result = pki_folder_read(&key, &store->folder, CA_KEY, PKI_STORE_FILE_BYTES_MAX, err);
    if (result < 0)
        return result;
    result = pki_authority_load(&store->authority, store->ca.certificate, key, err);
    secret_free(key);
    if (result < 0)
        error_prefix(err, "'%s': ", store->folder.path);
    return result;
}

/* Locked until it is closed, which the caller does in every case. */
static int store_open(struct store *store, const char *path, struct error *err)
{
    int result = pki_folder_open(&store->folder, path, err);

    if (result == 0 && !pki_folder_has(&store->folder, CA_KEY))
        result = error_set(err, -ENOENT,
                           "'%s' is not the folder of an authority: it has no " CA_KEY
                           "; nbdcrypt tls init makes one",
                           path);
    if (result == 0)
        result = pki_folder_lock(&store->folder, err);
    return result == 0 ? load_authority(store, err) : result;
}

/* ---- certificates ---- */

static int end_of(time_t *end, const struct store *store, unsigned days, struct error *err)
{
    time_t last = pki_authority_end(store->authority), now = time(NULL);

    if (last <= now)
        return error_set(err, -EINVAL,
                         "the certificate of the authority in '%s' has expired: make a new set "
                         "with nbdcrypt tls init",
                         store->folder.path);
    *end = now + (time_t)(days ? days : PKI_STORE_DAYS) * DAY_SECONDS;
    /* A day less is no surprise: the authority has been made before. */
    if (days && *end - DAY_SECONDS > last)
        return error_set(err, -EINVAL,
                         "--days %u: the certificate of the authority in '%s' expires in %lld "
                         "days, and none is valid for longer",
                         days, store->folder.path, (long long)(last - now) / DAY_SECONDS);
    return 0;
}

static int certify(struct pki_pair *out, const struct store *store,
                   const struct pki_store_request *request, bool server, struct error *err)
{
    const char *host = request->host_count > 0 ? request->hosts[0] : "";
    struct pki_request wanted = {
        .common_name = server ? host : request->name,
        .server = server,
        .hosts = request->hosts,
        .host_count = request->host_count,
        .uris = request->uris,
        .uri_count = request->uri_count,
    };
    int result = end_of(&wanted.end, store, request->days, err);

    /* Clients look at the alternative names; this one is for people. */
    if (server && strlen(host) > PKI_NAME_BYTES_MAX)
        wanted.common_name = "server";
    return result == 0 ? pki_certify(out, store->authority, &wanted, err) : result;
}

/* So that it can be revoked even when it has been replaced. */
static int remember(const struct store *store, const struct pki_pair *pair, struct error *err)
{
    struct pki_folder issued = FOLDER_CLOSED;
    char name[sizeof pair->serial + 4];
    struct folder_change change = { name, pair->certificate, PUBLIC_MODE, false };
    int result;

    (void)snprintf(name, sizeof name, "%s.pem", pair->serial);
    if (pki_folder_has(&store->folder, "issued"))
        result = pki_folder_open_child(&issued, &store->folder, "issued", err);
    else
        result = pki_folder_make_child(&issued, &store->folder, "issued", err);
    if (result == 0)
        result = pki_folder_replace(&issued, &change, 1, err);
    pki_folder_close(&issued);
    return result;
}

static void forget(const struct store *store, const struct pki_pair *pair)
{
    struct pki_folder issued = FOLDER_CLOSED;
    char name[sizeof pair->serial + 4];

    (void)snprintf(name, sizeof name, "%s.pem", pair->serial);
    if (*pair->serial && pki_folder_open_child(&issued, &store->folder, "issued", NULL) == 0)
        pki_folder_remove(&issued, name);
    pki_folder_close(&issued);
}

/* A key before its certificate: what is between the two says "key does not match", and making it
 * again heals it. */
static int write_pair(const struct pki_folder *folder, const struct store *store,
                      const struct pki_pair *pair, bool server, const struct secret *revoked,
                      struct error *err)
{
    struct folder_change changes[] = {
        { CA_CERTIFICATE, store->ca.certificate, PUBLIC_MODE, false },
        { server ? "server-key.pem" : "client-key.pem", pair->key, 0640, true },
        { server ? "server-cert.pem" : "client-cert.pem", pair->certificate, PUBLIC_MODE, false },
        { REVOKED, revoked, PUBLIC_MODE, false },
    };

    if (!pki_folder_has(folder, changes[1].name))
        changes[1].mode = KEY_MODE;
    return pki_folder_replace(folder, changes, revoked != NULL ? 4 : 3, err);
}

/* ---- init ---- */

static int make_authority(struct store *store, unsigned ca_days, struct error *err)
{
    int result = pki_authority_create(&store->authority, ca_days, err);

    if (result == 0)
        result = pki_authority_export(&store->ca, store->authority, err);
    if (result == 0)
        result = pki_folder_write(&store->folder, CA_KEY, store->ca.key, KEY_MODE, err);
    if (result == 0)
        result = pki_folder_write(&store->folder, CA_CERTIFICATE, store->ca.certificate,
                                  PUBLIC_MODE, err);
    return result;
}

static int make_server(struct store *store, const struct pki_store_request *request,
                       struct error *err)
{
    struct pki_folder folder = FOLDER_CLOSED;
    struct secret *revoked = NULL;
    struct pki_pair pair = { 0 };
    size_t added;
    int result = pki_revoke(&revoked, store->authority, NULL, NULL, 0, &added, err);

    if (result == 0)
        result = pki_folder_write(&store->folder, REVOKED, revoked, PUBLIC_MODE, err);
    if (result == 0)
        result = certify(&pair, store, request, true, err);
    if (result == 0)
        result = remember(store, &pair, err);
    if (result == 0)
        result = pki_folder_make_child(&folder, &store->folder, "server", err);
    if (result == 0)
        result = write_pair(&folder, store, &pair, true, revoked, err);
    pki_folder_close(&folder);
    pki_pair_free(&pair);
    secret_free(revoked);
    return result;
}

/* Under a temporary name first: NAME is there with all that it has, or not at all. */
static int make_client_folder(const struct pki_folder *clients, const struct store *store,
                              const char *name, const struct pki_pair *pair, struct error *err)
{
    struct pki_folder folder = FOLDER_CLOSED;
    char *temporary = NULL;
    int result = pki_folder_make_temporary(&folder, &temporary, clients, err);

    if (result < 0)
        return result;
    result = write_pair(&folder, store, pair, false, NULL, err);
    if (result == 0)
        result = pki_folder_rename(clients, temporary, name, err);
    if (result < 0)
        pki_folder_remove(clients, temporary);
    pki_folder_close(&folder);
    free(temporary);
    return result;
}

static int renew_client_folder(const struct pki_folder *clients, const struct store *store,
                               const char *name, const struct pki_pair *pair, struct error *err)
{
    struct pki_folder folder = FOLDER_CLOSED;
    int result = pki_folder_open_child(&folder, clients, name, err);

    if (result == 0)
        result = write_pair(&folder, store, pair, false, NULL, err);
    pki_folder_close(&folder);
    return result;
}

static int open_clients(struct pki_folder *out, const struct store *store, struct error *err)
{
    if (pki_folder_has(&store->folder, "clients"))
        return pki_folder_open_child(out, &store->folder, "clients", err);
    return pki_folder_make_child(out, &store->folder, "clients", err);
}

static int make_client(struct store *store, const struct pki_store_request *request,
                       struct error *err)
{
    struct pki_folder clients = FOLDER_CLOSED;
    struct pki_pair pair = { 0 };
    int result = open_clients(&clients, store, err);
    bool there = result == 0 && pki_folder_has(&clients, request->name);

    if (there && !request->force)
        result = error_set(err, -EEXIST,
                           "'%s/%s' is there already; give --force to replace it (the certificate "
                           "that it holds stays valid until it is revoked)",
                           clients.path, request->name);
    if (result == 0)
        result = certify(&pair, store, request, false, err);
    if (result == 0)
        result = remember(store, &pair, err);
    if (result == 0) {
        result = there ? renew_client_folder(&clients, store, request->name, &pair, err)
                       : make_client_folder(&clients, store, request->name, &pair, err);
    }
    if (result < 0)
        forget(store, &pair);
    pki_folder_close(&clients);
    pki_pair_free(&pair);
    return result;
}

/* What may be in a folder that --force replaces, by how deep it is. */
static bool is_own_name(const char *name, const char *folder, unsigned depth)
{
    static const char *const names[][6] = {
        { CA_KEY, CA_CERTIFICATE, REVOKED, "issued", "server", "clients" },
        { CA_CERTIFICATE, REVOKED, "server-cert.pem", "server-key.pem" },
        { CA_CERTIFICATE, REVOKED, "client-cert.pem", "client-key.pem" },
    };
    size_t length = strlen(name);

    if ((depth == 1 && strcmp(folder, "clients") == 0) || pki_folder_is_temporary(name))
        return true;
    if (depth == 1 && strcmp(folder, "issued") == 0)
        return length > 4 && strcmp(name + length - 4, ".pem") == 0;
    for (size_t i = 0; depth < 3 && i < 6 && names[depth][i] != NULL; i++) {
        if (strcmp(name, names[depth][i]) == 0)
            return true;
    }
    return false;
}

static int check_own(void *context, const struct pki_folder *folder, const char *name,
                     struct error *err)
{
    unsigned depth = *(unsigned *)context, below = depth + 1;
    struct pki_folder child = FOLDER_CLOSED;
    int result = 0;

    if (!is_own_name(name, pki_folder_name(folder), depth))
        return error_set(err, -EEXIST,
                         "'%s/%s' is not one of the files that nbdcrypt tls makes, so nothing was "
                         "replaced: move it away first",
                         folder->path, name);
    if (pki_folder_open_child(&child, folder, name, NULL) == 0)
        result = pki_folder_each(&child, check_own, &below, err);
    pki_folder_close(&child);
    return result;
}

static int count_entry(void *context, const struct pki_folder *folder, const char *name,
                       struct error *err)
{
    (void)folder;
    (void)name;
    (void)err;
    ++*(size_t *)context;
    return 0;
}

/* *replace: it holds an older set, which may go. */
static int check_place(bool *replace, const struct pki_folder *parent, const char *name,
                       const char *path, bool force, struct error *err)
{
    struct pki_folder old = FOLDER_CLOSED;
    size_t entries = 0;
    unsigned depth = 0;
    int result;

    *replace = false;
    if (!pki_folder_has(parent, name))
        return 0;
    result = pki_folder_open_child(&old, parent, name, err);
    if (result == 0)
        result = pki_folder_show_as(&old, path, err);
    if (result == 0)
        result = pki_folder_each(&old, count_entry, &entries, err);
    if (result == 0 && entries > 0 && !force)
        result = error_set(err, -EEXIST,
                           "'%s' is there already, and not empty; give --force to replace an "
                           "authority, and with it all certificates that it has made",
                           path);
    if (result == 0)
        result = pki_folder_each(&old, check_own, &depth, err);
    *replace = entries > 0;
    pki_folder_close(&old);
    return result;
}

/* In `store`, which has a temporary name, then under the name that is wanted. */
static int create(struct store *store, unsigned ca_days, const struct pki_store_request *server,
                  const struct pki_store_request *client, struct error *err)
{
    int result = make_authority(store, ca_days, err);

    if (result == 0)
        result = make_server(store, server, err);
    return result == 0 ? make_client(store, client, err) : result;
}

int pki_store_create(const char *path, unsigned ca_days, const struct pki_store_request *server,
                     const struct pki_store_request *client, struct error *err)
{
    struct pki_folder parent = FOLDER_CLOSED;
    struct store store = STORE_CLOSED;
    char *name = NULL, *temporary = NULL;
    bool replace = false;
    int result = pki_folder_open_parent(&parent, &name, path, err);

    if (result == 0)
        result = check_place(&replace, &parent, name, path, server->force, err);
    if (result == 0)
        result = pki_folder_make_temporary(&store.folder, &temporary, &parent, err);
    if (result == 0) {
        result = pki_folder_show_as(&store.folder, path, err);
        if (result == 0)
            result = create(&store, ca_days, server, client, err);
        if (result == 0 && replace)
            result = pki_folder_exchange(&parent, temporary, name, err);
        else if (result == 0)
            result = pki_folder_rename(&parent, temporary, name, err);
        if (result < 0 || replace)
            pki_folder_remove(&parent, temporary);
    }
    store_close(&store);
    pki_folder_close(&parent);
    free(temporary);
    free(name);
    return result;
}

/* ---- afterwards ---- */

int pki_store_add_client(const char *path, const struct pki_store_request *request,
                         struct error *err)
{
    struct store store = STORE_CLOSED;
    int result = store_open(&store, path, err);

    if (result == 0)
        result = make_client(&store, request, err);
    store_close(&store);
    return result;
}

static int add_host(void *context, const char *host, struct error *err)
{
    struct param_list *hosts = context;
    const char **items = reallocarray(hosts->items, hosts->count + 1, sizeof *items);

    if (items)
        hosts->items = items;
    if (items == NULL || (items[hosts->count] = strdup(host)) == NULL)
        return error_no_memory(err, NULL);
    hosts->count++;
    return 0;
}

static void free_hosts(struct param_list *hosts)
{
    for (size_t i = 0; i < hosts->count; i++)
        free((char *)hosts->items[i]);
    free(hosts->items);
}

static int present_hosts(struct param_list *hosts, const struct pki_folder *folder,
                         struct error *err)
{
    struct secret *certificate = NULL;
    int result =
        pki_folder_read(&certificate, folder, "server-cert.pem", PKI_STORE_FILE_BYTES_MAX, err);

    if (result == 0)
        result = pki_each_host(certificate, add_host, hosts, err);
    secret_free(certificate);
    if (result == 0 && hosts->count == 0)
        result = error_set(err, -EINVAL, "the certificate names no host");
    if (result < 0)
        error_prefix(err, "the hosts of the server aren't known, give them with --host: ");
    return result;
}

static int renew_server(struct store *store, const struct pki_folder *folder,
                        const struct pki_store_request *request, struct error *err)
{
    struct secret *revoked = NULL;
    struct pki_pair pair = { 0 };
    int result = pki_folder_read(&revoked, &store->folder, REVOKED, PKI_STORE_FILE_BYTES_MAX, err);

    if (result == 0)
        result = certify(&pair, store, request, true, err);
    if (result == 0)
        result = remember(store, &pair, err);
    if (result == 0)
        result = write_pair(folder, store, &pair, true, revoked, err);
    if (result < 0)
        forget(store, &pair);
    pki_pair_free(&pair);
    secret_free(revoked);
    return result;
}

int pki_store_renew_server(const char *path, const struct pki_store_request *request,
                           struct error *err)
{
    struct pki_store_request wanted = *request;
    struct param_list hosts = { NULL, 0 };
    struct pki_folder folder = FOLDER_CLOSED;
    struct store store = STORE_CLOSED;
    int result = store_open(&store, path, err);

    if (result == 0 && pki_folder_has(&store.folder, "server"))
        result = pki_folder_open_child(&folder, &store.folder, "server", err);
    else if (result == 0)
        result = pki_folder_make_child(&folder, &store.folder, "server", err);
    if (result == 0 && request->host_count == 0) {
        result = present_hosts(&hosts, &folder, err);
        wanted.hosts = hosts.items;
        wanted.host_count = hosts.count;
    }
    if (result == 0)
        result = renew_server(&store, &folder, &wanted, err);
    free_hosts(&hosts);
    pki_folder_close(&folder);
    store_close(&store);
    return result;
}

/* ---- revoking ---- */

struct victims {
    const char *name;
    struct secret **items;
    size_t count;
};

static int collect(void *context, const struct pki_folder *folder, const char *file,
                   struct error *err)
{
    struct victims *victims = context;
    char name[256];
    struct secret *certificate = NULL, **items;
    int result;

    if (pki_folder_is_temporary(file))
        return 0;
    result = pki_folder_read(&certificate, folder, file, PKI_STORE_FILE_BYTES_MAX, err);
    if (result < 0)
        return result;
    result = pki_client_name(name, sizeof name, certificate, err);
    if (result < 0)
        error_prefix(err, "'%s/%s': ", folder->path, file);
    if (result < 0 || strcmp(name, victims->name) != 0) {
        secret_free(certificate);
        return result;
    }
    items = reallocarray(victims->items, victims->count + 1, sizeof(struct secret *));
    if (items == NULL) {
        secret_free(certificate);
        return error_no_memory(err, NULL);
    }
    items[victims->count++] = certificate;
    victims->items = items;
    return 0;
}

static int find_victims(struct victims *victims, const struct store *store, struct error *err)
{
    struct pki_folder issued = FOLDER_CLOSED;
    int result = pki_folder_open_child(&issued, &store->folder, "issued", err);

    if (result == 0)
        result = pki_folder_each(&issued, collect, victims, err);
    if (result == 0 && victims->count == 0)
        result = error_set(err, -ENOENT, "'%s' has made no certificate for a client '%s'",
                           store->folder.path, victims->name);
    pki_folder_close(&issued);
    return result;
}

static int publish_revoked(const struct store *store, const struct secret *list, bool *in_server,
                           struct error *err)
{
    struct folder_change change = { REVOKED, list, PUBLIC_MODE, false };
    struct pki_folder server = FOLDER_CLOSED;
    int result = pki_folder_replace(&store->folder, &change, 1, err);

    *in_server = false;
    if (result < 0 || !pki_folder_has(&store->folder, "server"))
        return result;
    result = pki_folder_open_child(&server, &store->folder, "server", err);
    if (result == 0)
        result = pki_folder_replace(&server, &change, 1, err);
    pki_folder_close(&server);
    *in_server = result == 0;
    return result;
}

int pki_store_revoke(const char *path, const char *name, size_t *revoked, bool *in_server,
                     struct error *err)
{
    struct victims victims = { .name = name };
    struct secret *old = NULL, *list = NULL;
    struct store store = STORE_CLOSED;
    int result = store_open(&store, path, err);

    if (result == 0)
        result = find_victims(&victims, &store, err);
    if (result == 0)
        result = pki_folder_read(&old, &store.folder, REVOKED, PKI_STORE_FILE_BYTES_MAX, err);
    if (result == 0)
        result =
            pki_revoke(&list, store.authority, old, (const struct secret *const *)victims.items,
                       victims.count, revoked, err);
    if (result == 0)
        result = publish_revoked(&store, list, in_server, err);
    for (size_t i = 0; i < victims.count; i++)
        secret_free(victims.items[i]);
    free(victims.items);
    secret_free(old);
    secret_free(list);
    store_close(&store);
    return result;
}
