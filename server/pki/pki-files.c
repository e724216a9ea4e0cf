#include "server/pki/pki-files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "server/pki/pki-folder.h"
#include "server/pki/pki-store.h"
#include "server/pki/psk-users.h"

#define FILES_MAX 10000u
#define DEPTH_MAX 3u /* DIR/clients/NAME */

static int no_memory(struct error *err)
{
    return error_no_memory(err, NULL);
}

/* ---- what is in a file ---- */

static bool holds(const struct secret *data, const char *mark)
{
    return data->length_bytes > 0 &&
           memmem(data->data, data->length_bytes, mark, strlen(mark)) != NULL;
}

static int count_psk(void *context, const struct psk_entry *entry, struct error *err)
{
    (void)entry;
    (void)err;
    ++*(size_t *)context;
    return 0;
}

static enum pki_file_kind kind_of(const struct pki_file *file, const struct secret *data)
{
    const char *dot = strrchr(file->name, '.');
    size_t keys = 0;

    if (holds(data, "-----BEGIN CERTIFICATE-----") ||
        holds(data, "-----BEGIN X509 CERTIFICATE-----"))
        return PKI_FILE_CERTIFICATES;
    if (holds(data, "-----BEGIN X509 CRL-----"))
        return PKI_FILE_REVOKED;
    if (holds(data, " PRIVATE KEY-----"))
        return PKI_FILE_KEY;
    if (dot != NULL && strcmp(dot, ".psk") == 0)
        return PKI_FILE_PSK;
    if (psk_users_each(data, count_psk, &keys, NULL) == 0 && keys > 0)
        return PKI_FILE_PSK;
    return PKI_FILE_UNKNOWN;
}

static void set_problem(struct pki_file *file, const char *what, int result)
{
    if (file->problem == NULL &&
        asprintf(&file->problem, "%s: %s", what, gnutls_strerror(result)) < 0)
        file->problem = NULL;
}

static void parse_key(struct pki_file *file, const gnutls_datum_t *datum)
{
    int result = gnutls_x509_privkey_init(&file->key);

    if (result >= 0)
        result = gnutls_x509_privkey_import2(file->key, datum, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (result < 0) {
        gnutls_x509_privkey_deinit(file->key);
        file->key = NULL;
        if (result == GNUTLS_E_DECRYPTION_FAILED)
            file->problem = strdup("key is encrypted");
        else
            set_problem(file, "key can't be read", result);
    }
}

static void parse_revoked(struct pki_file *file, const gnutls_datum_t *datum)
{
    int result = gnutls_x509_crl_init(&file->revoked);

    if (result >= 0)
        result = gnutls_x509_crl_import(file->revoked, datum, GNUTLS_X509_FMT_PEM);
    if (result < 0) {
        gnutls_x509_crl_deinit(file->revoked);
        file->revoked = NULL;
        set_problem(file, "can't be read", result);
    }
}

static void parse_certificates(struct pki_file *file, const gnutls_datum_t *datum)
{
    int result = gnutls_x509_crt_list_import2(&file->certificates, &file->certificate_count, datum,
                                              GNUTLS_X509_FMT_PEM, 0);

    if (result < 0) {
        file->certificates = NULL;
        file->certificate_count = 0;
        set_problem(file, "can't be read", result);
    }
}

static int parse(struct pki_file *file, const struct secret *data, struct error *err)
{
    gnutls_datum_t datum = { data->data, (unsigned)data->length_bytes };

    file->kind = kind_of(file, data);
    switch (file->kind) {
    case PKI_FILE_CERTIFICATES:
        parse_certificates(file, &datum);
        if (holds(data, " PRIVATE KEY-----"))
            parse_key(file, &datum);
        break;
    case PKI_FILE_KEY:
        parse_key(file, &datum);
        break;
    case PKI_FILE_REVOKED:
        parse_revoked(file, &datum);
        break;
    case PKI_FILE_PSK:
        return secret_copy(&file->psk, data->data, data->length_bytes, err);
    case PKI_FILE_UNKNOWN:
        if ((file->problem = strdup("holds no certificate and no key")) == NULL)
            return no_memory(err);
    }
    return 0;
}

/* ---- which files ---- */

static void free_file(struct pki_file *file)
{
    for (unsigned i = 0; i < file->certificate_count; i++)
        gnutls_x509_crt_deinit(file->certificates[i]);
    gnutls_free(file->certificates);
    if (file->key)
        gnutls_x509_privkey_deinit(file->key);
    if (file->revoked)
        gnutls_x509_crl_deinit(file->revoked);
    secret_free(file->psk);
    free(file->problem);
    free(file->folder);
    free(file->name);
}

void pki_files_free(struct pki_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free_file(&files->items[i]);
    free(files->items);
    *files = (struct pki_files){ 0 };
}

static int add(struct pki_files *files, struct pki_file *file, struct error *err)
{
    struct pki_file *items;

    if (files->count >= FILES_MAX)
        return error_set(err, -EFBIG, "'%s': there are more than %u files", file->folder,
                         FILES_MAX);
    items = reallocarray(files->items, files->count + 1, sizeof *items);
    if (items == NULL)
        return no_memory(err);
    files->items = items;
    items[files->count++] = *file;
    return 0;
}

struct walk {
    struct pki_files *files;
    const char *shown;  /* the name of the one file that was asked for; NULL: all */
    const char *prefix; /* of the current folder, with '/' at its end */
    unsigned depth;
};

static bool may_hold_something(const char *name)
{
    static const char *const ends[] = { ".pem", ".crt", ".cert", ".key", ".crl", ".psk" };
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot != NULL && i < sizeof ends / sizeof ends[0]; i++) {
        if (strcmp(dot, ends[i]) == 0)
            return true;
    }
    return false;
}

static int read_file(struct walk *walk, const struct pki_folder *folder, const char *name,
                     mode_t mode, struct error *err)
{
    bool asked_for = walk->shown != NULL && strcmp(walk->shown, name) == 0;
    struct pki_file file = { .mode = mode, .shown = walk->shown == NULL || asked_for };
    struct secret *data = NULL;
    struct error why = { "" };
    bool keep;
    int result = 0;

    file.folder = strdup(walk->prefix);
    file.name = strdup(name);
    if (file.folder == NULL || file.name == NULL)
        result = no_memory(err);
    else if (pki_folder_read(&data, folder, name, PKI_STORE_FILE_BYTES_MAX, &why) < 0)
        result = (file.problem = strdup(why.text)) != NULL ? 0 : no_memory(err);
    else
        result = parse(&file, data, err);
    secret_free(data);
    /* Beside certificates there may be other things, such as parameters for Diffie-Hellman. */
    keep = result == 0 && (file.kind != PKI_FILE_UNKNOWN || asked_for || *why.text);
    if (keep) {
        result = add(walk->files, &file, err);
        keep = result == 0;
    }
    if (!keep)
        free_file(&file);
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): what is kept is owned by walk->files */
    return result;
}

static int visit(void *context, const struct pki_folder *folder, const char *name,
                 struct error *err);

static int read_below(const struct walk *walk, const struct pki_folder *folder, const char *name,
                      struct error *err)
{
    struct pki_folder child = FOLDER_CLOSED;
    struct walk below = *walk;
    char *prefix;
    int result;

    if (asprintf(&prefix, "%s%s/", walk->prefix, name) < 0)
        return no_memory(err);
    below.prefix = prefix;
    below.depth = walk->depth + 1;
    result = pki_folder_open_child(&child, folder, name, err);
    if (result == 0)
        result = pki_folder_each(&child, visit, &below, err);
    pki_folder_close(&child);
    free(prefix);
    return result;
}

/* issued/ holds a second copy of each certificate. */
static int visit(void *context, const struct pki_folder *folder, const char *name,
                 struct error *err)
{
    struct walk *walk = context;
    bool asked_for = walk->shown != NULL && strcmp(walk->shown, name) == 0;
    struct stat status;

    if (fstatat(folder->fd, name, &status, 0) < 0)
        return 0;
    if (S_ISREG(status.st_mode) && (asked_for || may_hold_something(name)))
        return read_file(walk, folder, name, status.st_mode, err);
    if (S_ISDIR(status.st_mode) && walk->shown == NULL && walk->depth < DEPTH_MAX &&
        name[0] != '.' && strcmp(name, "issued") != 0)
        return read_below(walk, folder, name, err);
    return 0;
}

static int read_folder(struct pki_files *out, const char *path, struct error *err)
{
    size_t length = strlen(path);
    struct pki_folder folder = FOLDER_CLOSED;
    struct walk walk = { .files = out };
    char *prefix;
    int result;

    if (asprintf(&prefix, "%s%s", path, length > 0 && path[length - 1] == '/' ? "" : "/") < 0)
        return no_memory(err);
    walk.prefix = prefix;
    result = pki_folder_open(&folder, path, err);
    if (result == 0)
        result = pki_folder_each(&folder, visit, &walk, err);
    if (result == 0 && out->count == 0)
        result = error_set(err, -ENOENT,
                           "'%s' holds no certificates and no keys (*.pem, *.crt, "
                           "*.key, *.crl, *.psk)",
                           path);
    pki_folder_close(&folder);
    free(prefix);
    return result;
}

static int read_around(struct pki_files *out, const char *path, struct error *err)
{
    const char *slash = strrchr(path, '/');
    struct pki_folder folder = FOLDER_CLOSED;
    char *name = NULL, *prefix = strndup(path, slash != NULL ? (size_t)(slash - path) + 1 : 0);
    struct walk walk = { .files = out, .prefix = prefix };
    int result =
        prefix != NULL ? pki_folder_open_parent(&folder, &name, path, err) : no_memory(err);

    walk.shown = name;
    if (result == 0)
        result = pki_folder_each(&folder, visit, &walk, err);
    pki_folder_close(&folder);
    free(prefix);
    free(name);
    return result;
}

int pki_files_read(struct pki_files *out, const char *path, struct error *err)
{
    struct stat status;
    int result;

    *out = (struct pki_files){ 0 };
    if (stat(path, &status) < 0) {
        result = -errno;
        return error_set(err, result, "'%s' can't be read: %s", path, strerror(-result));
    }
    if (S_ISDIR(status.st_mode))
        return read_folder(out, path, err);
    if (!S_ISREG(status.st_mode))
        return error_set(err, -EINVAL, "'%s' is neither a folder nor a file", path);
    return read_around(out, path, err);
}
