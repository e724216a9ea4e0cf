#include "server/pki/pki-report.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/pki/pki-files.h"
#include "server/pki/psk-users.h"
#include "server/tls/psk-line.h"
#include "server/base/utf8.h"

#define DAY_SECONDS 86400
#define NAME_BYTES_MAX 4096u
#define KEY_BYTES_LEAST 16u

/* What a row is made of. */
struct row {
    const struct pki_files *files;
    const struct pki_file *file;
    time_t now;
    struct json_object *object;
    struct json_object *problems; /* owned by object */
};

/* ---- text ---- */

static struct json_object *clean_text(const void *bytes, size_t length)
{
    char *text = utf8_clean(bytes, length);
    struct json_object *object = text != NULL ? json_object_new_string(text) : NULL;

    free(text);
    return object;
}

static void put(struct json_object *object, const char *key, struct json_object *value)
{
    (void)json_object_object_add(object, key, value);
}

static void put_time(struct json_object *object, const char *key, time_t when)
{
    struct tm utc;
    char text[32];

    if (when == (time_t)-1 || !gmtime_r(&when, &utc) ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        put(object, key, NULL);
    else
        put(object, key, json_object_new_string(text));
}

static void add_problem(struct row *row, const char *text)
{
    (void)json_object_array_add(row->problems, clean_text(text, strlen(text)));
}

static bool has_name(const struct pki_file *file, const char *name)
{
    return strcmp(file->name, name) == 0;
}

/* ---- keys ---- */

/* "server-cert.pem" and "server-key.pem", "db.crt" and "db.key". */
static bool is_key_name(const char *key, const char *certificate)
{
    static const char *const pairs[][2] = { { "cert", "key" }, { "crt", "key" } };

    for (size_t i = 0; i < 2; i++) {
        const char *at = strstr(certificate, pairs[i][0]);
        size_t front = at != NULL ? (size_t)(at - certificate) : 0;
        size_t skipped = strlen(pairs[i][0]), length = strlen(pairs[i][1]);

        if (at != NULL && strncmp(key, certificate, front) == 0 &&
            strncmp(key + front, pairs[i][1], length) == 0 &&
            strcmp(key + front + length, at + skipped) == 0)
            return true;
    }
    return false;
}

static const struct pki_file *find_partner(const struct pki_files *files,
                                           const struct pki_file *file, enum pki_file_kind kind)
{
    for (size_t i = 0; i < files->count; i++) {
        const struct pki_file *other = &files->items[i];

        if (other->kind != kind || strcmp(other->folder, file->folder) != 0)
            continue;
        if (kind == PKI_FILE_KEY ? is_key_name(other->name, file->name)
                                 : is_key_name(file->name, other->name))
            return other;
    }
    return NULL;
}

static bool is_key_of(gnutls_x509_privkey_t key, gnutls_x509_crt_t crt)
{
    uint8_t one[64], other[64];
    size_t one_bytes = sizeof one, other_bytes = sizeof other;

    return gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, one, &one_bytes) >= 0 &&
           gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, other, &other_bytes) >= 0 &&
           one_bytes == other_bytes && memcmp(one, other, one_bytes) == 0;
}

static void judge_mode(struct row *row, const struct pki_file *holder)
{
    if (holder->mode & 0007)
        add_problem(row, "key readable by others");
}

static void judge_key(struct row *row, gnutls_x509_crt_t crt)
{
    const struct pki_file *holder = row->file;

    if (!holder->key)
        holder = find_partner(row->files, row->file, PKI_FILE_KEY);
    if (holder == NULL) {
        if (has_name(row->file, "server-cert.pem") || has_name(row->file, "client-cert.pem"))
            add_problem(row, "its key is missing");
        return;
    }
    if (!holder->key)
        add_problem(row, holder->problem != NULL ? holder->problem : "key can't be read");
    else if (!is_key_of(holder->key, crt))
        add_problem(row, "key does not match");
    judge_mode(row, holder);
}

/* ---- certificates ---- */

static bool is_authority(gnutls_x509_crt_t crt)
{
    return gnutls_x509_crt_get_ca_status(crt, NULL) > 0;
}

static bool is_self_signed(gnutls_x509_crt_t crt)
{
    return gnutls_x509_crt_check_issuer(crt, crt) != 0;
}

static void judge_dates(struct row *row, gnutls_x509_crt_t crt)
{
    if (gnutls_x509_crt_get_expiration_time(crt) < row->now)
        add_problem(row, "expired");
    if (gnutls_x509_crt_get_activation_time(crt) > row->now)
        add_problem(row, "not yet valid");
}

static void judge_strength(struct row *row, gnutls_x509_crt_t crt)
{
    unsigned bits = 0;
    int algorithm = gnutls_x509_crt_get_pk_algorithm(crt, &bits);
    int signature = gnutls_x509_crt_get_signature_algorithm(crt);
    bool weak = algorithm < 0 || gnutls_pk_bits_to_sec_param((gnutls_pk_algorithm_t)algorithm,
                                                             bits) < GNUTLS_SEC_PARAM_MEDIUM;

    /* Nobody looks at the signature of what is trusted by itself. */
    if (!weak && !is_self_signed(crt))
        weak = signature < 0 || !gnutls_sign_is_secure2((gnutls_sign_algorithm_t)signature,
                                                        GNUTLS_SIGN_FLAG_SECURE_FOR_CERTS);
    if (weak)
        add_problem(row, "weak");
}

/* The authorities beside it must have made it, or else those that are anywhere here. */
static bool is_signed_here(const struct row *row, gnutls_x509_crt_t crt, bool same_folder,
                           bool *any)
{
    const unsigned flags = GNUTLS_VERIFY_DISABLE_TIME_CHECKS | GNUTLS_VERIFY_DISABLE_CRL_CHECKS |
                           GNUTLS_VERIFY_ALLOW_SIGN_RSA_MD5 | GNUTLS_VERIFY_ALLOW_SIGN_WITH_SHA1;

    for (size_t i = 0; i < row->files->count; i++) {
        const struct pki_file *file = &row->files->items[i];

        if (same_folder && strcmp(file->folder, row->file->folder) != 0)
            continue;
        for (unsigned k = 0; k < file->certificate_count; k++) {
            unsigned status = 0;

            if (!is_authority(file->certificates[k]))
                continue;
            *any = true;
            if (gnutls_x509_crt_verify(crt, &file->certificates[k], 1, flags, &status) >= 0 &&
                !(status & (GNUTLS_CERT_SIGNER_NOT_FOUND | GNUTLS_CERT_SIGNATURE_FAILURE)))
                return true;
        }
    }
    return false;
}

static void judge_issuer(struct row *row, gnutls_x509_crt_t crt)
{
    bool any = false;

    if (is_self_signed(crt) || is_signed_here(row, crt, true, &any))
        return;
    if (!any && is_signed_here(row, crt, false, &any))
        return;
    if (any)
        add_problem(row, "not made by the authority here");
}

static void judge_revocation(struct row *row, gnutls_x509_crt_t crt)
{
    for (size_t i = 0; i < row->files->count; i++) {
        gnutls_x509_crl_t revoked = row->files->items[i].revoked;

        if (revoked && gnutls_x509_crt_check_revocation(crt, &revoked, 1) == 1) {
            add_problem(row, "revoked");
            return;
        }
    }
}

static bool has_purpose(gnutls_x509_crt_t crt, const char *wanted)
{
    char oid[128];
    int result = 0;
    unsigned i;

    for (i = 0; result >= 0; i++) {
        size_t oid_bytes = sizeof oid;

        result = gnutls_x509_crt_get_key_purpose_oid(crt, i, oid, &oid_bytes, NULL);
        if (result >= 0 && (strcmp(oid, wanted) == 0 || strcmp(oid, GNUTLS_KP_ANY) == 0))
            return true;
    }
    return i == 1 && result == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE; /* none is named: for all */
}

static void judge_purpose(struct row *row, gnutls_x509_crt_t crt)
{
    if (has_name(row->file, "ca-cert.pem") && !is_authority(crt))
        add_problem(row, "not an authority");
    if (has_name(row->file, "server-cert.pem") && !has_purpose(crt, GNUTLS_KP_TLS_WWW_SERVER))
        add_problem(row, "not for servers");
    if (has_name(row->file, "client-cert.pem") && !has_purpose(crt, GNUTLS_KP_TLS_WWW_CLIENT))
        add_problem(row, "not for clients");
}

static struct json_object *purposes(gnutls_x509_crt_t crt)
{
    struct json_object *array = json_object_new_array();

    if (is_authority(crt)) {
        (void)json_object_array_add(array, json_object_new_string("authority"));
        return array;
    }
    if (has_purpose(crt, GNUTLS_KP_TLS_WWW_SERVER))
        (void)json_object_array_add(array, json_object_new_string("server"));
    if (has_purpose(crt, GNUTLS_KP_TLS_WWW_CLIENT))
        (void)json_object_array_add(array, json_object_new_string("client"));
    return array;
}

/* NULL: of a kind that is not shown. */
static struct json_object *name_text(int type, const char *name, size_t name_bytes)
{
    char text[NAME_BYTES_MAX + 8], address[INET6_ADDRSTRLEN];
    int length = 0;

    if (type == GNUTLS_SAN_IPADDRESS && (name_bytes == 4 || name_bytes == 16) &&
        inet_ntop(name_bytes == 4 ? AF_INET : AF_INET6, name, address, sizeof address))
        length = snprintf(text, sizeof text, "IP:%s", address);
    else if (type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_URI ||
             type == GNUTLS_SAN_RFC822NAME) {
        const char *kind = type == GNUTLS_SAN_DNSNAME ? "DNS"
                           : type == GNUTLS_SAN_URI   ? "URI"
                                                      : "email";

        length = snprintf(text, sizeof text, "%s:%.*s", kind, (int)name_bytes, name);
    }
    return length > 0 ? clean_text(text, strlen(text)) : NULL;
}

static struct json_object *names(gnutls_x509_crt_t crt)
{
    struct json_object *array = json_object_new_array();
    char name[NAME_BYTES_MAX];

    for (unsigned i = 0;; i++) {
        size_t name_bytes = sizeof name;
        int type = gnutls_x509_crt_get_subject_alt_name(crt, i, name, &name_bytes, NULL);
        struct json_object *text;

        if (type == GNUTLS_E_SHORT_MEMORY_BUFFER)
            continue;
        if (type < 0)
            return array;
        text = name_text(type, name, name_bytes);
        if (text)
            (void)json_object_array_add(array, text);
    }
}

static struct json_object *
distinguished_name(gnutls_x509_crt_t crt, int (*get)(gnutls_x509_crt_t, gnutls_datum_t *, unsigned))
{
    gnutls_datum_t datum = { NULL, 0 };
    struct json_object *text;

    if (get(crt, &datum, 0) < 0)
        return json_object_new_string("");
    text = clean_text(datum.data, datum.size);
    gnutls_free(datum.data);
    return text;
}

static void describe_certificate(struct row *row, gnutls_x509_crt_t crt)
{
    time_t end = gnutls_x509_crt_get_expiration_time(crt);
    long long seconds = (long long)end - (long long)row->now;
    long long days = seconds / DAY_SECONDS - (seconds % DAY_SECONDS < 0);
    uint8_t serial[64];
    char hex[2 * sizeof serial + 1] = "";
    size_t serial_bytes = sizeof serial;
    unsigned bits = 0;
    int algorithm = gnutls_x509_crt_get_pk_algorithm(crt, &bits);
    const char *key = gnutls_pk_get_name((gnutls_pk_algorithm_t)algorithm);

    put(row->object, "subject", distinguished_name(crt, gnutls_x509_crt_get_dn3));
    put(row->object, "names", names(crt));
    put(row->object, "issuer", distinguished_name(crt, gnutls_x509_crt_get_issuer_dn3));
    put(row->object, "purposes", purposes(crt));
    if (gnutls_x509_crt_get_serial(crt, serial, &serial_bytes) >= 0) {
        for (size_t i = 0; i < serial_bytes; i++)
            (void)snprintf(hex + 2 * i, 3, "%02x", serial[i]);
    }
    put(row->object, "serial", json_object_new_string(hex));
    put(row->object, "key", key != NULL ? json_object_new_string(key) : NULL);
    put(row->object, "key-bits", json_object_new_int64(bits));
    put_time(row->object, "not-before", gnutls_x509_crt_get_activation_time(crt));
    put_time(row->object, "expires", end);
    put(row->object, "days-left", json_object_new_int64(days));
}

static void judge_certificate(struct row *row, gnutls_x509_crt_t crt, bool first)
{
    describe_certificate(row, crt);
    judge_dates(row, crt);
    judge_revocation(row, crt);
    judge_strength(row, crt);
    judge_purpose(row, crt);
    judge_issuer(row, crt);
    if (first)
        judge_key(row, crt);
}

/* ---- lists of revoked certificates ---- */

static void judge_revoked(struct row *row)
{
    gnutls_x509_crl_t revoked = row->file->revoked;
    time_t next = gnutls_x509_crl_get_next_update(revoked);
    gnutls_datum_t issuer = { NULL, 0 };
    unsigned status = 0;
    bool any = false, known = false;

    if (gnutls_x509_crl_get_issuer_dn3(revoked, &issuer, 0) >= 0) {
        put(row->object, "issuer", clean_text(issuer.data, issuer.size));
        gnutls_free(issuer.data);
    }
    put(row->object, "revoked", json_object_new_int64(gnutls_x509_crl_get_crt_count(revoked)));
    put_time(row->object, "not-before", gnutls_x509_crl_get_this_update(revoked));
    put_time(row->object, "expires", next);
    if (next != (time_t)-1 && next < row->now)
        add_problem(row, "expired");
    for (size_t i = 0; i < row->files->count; i++) {
        const struct pki_file *file = &row->files->items[i];

        for (unsigned k = 0; k < file->certificate_count; k++) {
            if (!is_authority(file->certificates[k]))
                continue;
            any = true;
            known =
                known || (gnutls_x509_crl_verify(revoked, &file->certificates[k], 1,
                                                 GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status) >= 0 &&
                          status == 0);
        }
    }
    if (any && !known)
        add_problem(row, "not made by the authority here");
}

/* ---- pre-shared keys ---- */

struct users {
    struct json_object *array;
    const struct psk_entry *entries;
    bool weak, twice;
};

static struct json_object *user_text(const struct psk_entry *entry)
{
    char user[PSK_IDENTITY_BYTES_MAX * 2 + 2];
    gnutls_datum_t hex = { (unsigned char *)entry->user + 1, (unsigned)entry->user_bytes - 1 };
    size_t user_bytes = sizeof user;

    if (entry->user[0] == '#' && gnutls_hex_decode(&hex, user, &user_bytes) >= 0)
        return clean_text(user, user_bytes);
    return clean_text(entry->user, entry->user_bytes);
}

static int add_user(void *context, const struct psk_entry *entry, struct error *err)
{
    struct users *users = context;
    struct json_object *user = user_text(entry);
    const char *text = json_object_get_string(user);

    (void)err;
    for (size_t i = 0; text != NULL && i < json_object_array_length(users->array); i++) {
        const char *other = json_object_get_string(json_object_array_get_idx(users->array, i));

        users->twice = users->twice || (other != NULL && strcmp(other, text) == 0);
    }
    users->weak = users->weak || entry->key_bytes < KEY_BYTES_LEAST;
    (void)json_object_array_add(users->array, user);
    return 0;
}

static void judge_psk(struct row *row)
{
    struct users users = { .array = json_object_new_array() };
    struct error why = { "" };

    if (psk_users_each(row->file->psk, add_user, &users, &why) < 0)
        add_problem(row, why.text);
    else if (json_object_array_length(users.array) == 0)
        add_problem(row, "no user");
    if (users.twice)
        add_problem(row, "a user is there twice");
    if (users.weak)
        add_problem(row, "weak");
    judge_mode(row, row->file);
    put(row->object, "users", users.array);
}

/* ---- rows ---- */

static const char *kind_text(enum pki_file_kind kind)
{
    switch (kind) {
    case PKI_FILE_CERTIFICATES:
        return "certificate";
    case PKI_FILE_KEY:
        return "key";
    case PKI_FILE_REVOKED:
        return "revoked";
    case PKI_FILE_PSK:
        return "psk";
    case PKI_FILE_UNKNOWN:
        break;
    }
    return "unknown";
}

static void set_state(struct row *row)
{
    struct json_object *days = NULL;
    int64_t left = INT64_MAX;
    char text[1024] = "ok";
    size_t used = 0;

    if (json_object_object_get_ex(row->object, "days-left", &days))
        left = json_object_get_int64(days);
    if (left <= PKI_REPORT_DAYS_SOON)
        (void)snprintf(text, sizeof text, "expires in %lld day%s", (long long)left,
                       left == 1 ? "" : "s");
    for (size_t i = 0; i < json_object_array_length(row->problems) && used < sizeof text; i++)
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? ", " : "",
                             json_object_get_string(json_object_array_get_idx(row->problems, i)));
    put(row->object, "state", clean_text(text, strlen(text)));
    put(row->object, "usable",
        json_object_new_boolean(json_object_array_length(row->problems) == 0));
}

static struct row row_begin(const struct pki_files *files, const struct pki_file *file,
                            enum pki_file_kind kind, time_t now)
{
    struct row row = { .files = files, .file = file, .now = now };
    char *path;

    row.object = json_object_new_object();
    row.problems = json_object_new_array();
    if (asprintf(&path, "%s%s", file->folder, file->name) >= 0) {
        put(row.object, "file", clean_text(path, strlen(path)));
        free(path);
    }
    put(row.object, "kind", json_object_new_string(kind_text(kind)));
    put(row.object, "problems", row.problems);
    return row;
}

static void row_end(struct row *row, struct json_object *items)
{
    set_state(row);
    (void)json_object_array_add(items, row->object);
}

/* A key is told about with its certificate; by itself it is worth nothing. */
static bool is_told_elsewhere(const struct pki_files *files, const struct pki_file *file)
{
    const struct pki_file *partner;

    if (file->kind != PKI_FILE_KEY)
        return false;
    partner = find_partner(files, file, PKI_FILE_CERTIFICATES);
    return partner != NULL && partner->shown;
}

static void judge_lone_key(struct row *row)
{
    const struct pki_file *partner = find_partner(row->files, row->file, PKI_FILE_CERTIFICATES);

    if (partner == NULL || partner->certificate_count == 0)
        add_problem(row, "its certificate is missing");
    else if (row->file->key && !is_key_of(row->file->key, partner->certificates[0]))
        add_problem(row, "key does not match");
    judge_mode(row, row->file);
}

static void add_rows(struct json_object *items, const struct pki_files *files,
                     const struct pki_file *file, time_t now)
{
    struct row row;

    for (unsigned i = 0; i < file->certificate_count; i++) {
        row = row_begin(files, file, PKI_FILE_CERTIFICATES, now);
        judge_certificate(&row, file->certificates[i], i == 0);
        row_end(&row, items);
    }
    if (file->certificate_count > 0)
        return;
    row = row_begin(files, file, file->kind, now);
    if (file->problem)
        add_problem(&row, file->problem);
    if (file->kind == PKI_FILE_KEY)
        judge_lone_key(&row);
    else if (file->revoked)
        judge_revoked(&row);
    else if (file->psk)
        judge_psk(&row);
    row_end(&row, items);
}

static struct json_object *report_on(const struct pki_files *files, time_t now)
{
    struct json_object *report = json_object_new_object(), *items = json_object_new_array();
    bool usable = true;

    if (report == NULL || items == NULL) {
        json_object_put(report);
        json_object_put(items);
        return NULL;
    }
    for (size_t i = 0; i < files->count; i++) {
        if (files->items[i].shown && !is_told_elsewhere(files, &files->items[i]))
            add_rows(items, files, &files->items[i], now);
    }
    for (size_t i = 0; i < json_object_array_length(items); i++) {
        struct json_object *one = NULL;

        (void)json_object_object_get_ex(json_object_array_get_idx(items, i), "usable", &one);
        usable = usable && json_object_get_boolean(one);
    }
    put(report, "items", items);
    put(report, "usable", json_object_new_boolean(usable));
    return report;
}

int pki_report_make(struct json_object **out, const char *path, time_t now, struct error *err)
{
    struct pki_files files;
    int result = pki_files_read(&files, path, err);

    if (result == 0) {
        *out = report_on(&files, now);
        if (*out == NULL)
            result = error_no_memory(err, NULL);
    }
    pki_files_free(&files);
    return result;
}
