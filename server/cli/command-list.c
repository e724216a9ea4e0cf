/* nbdcrypt list: see command-list.h.  The table is made from the same JSON that --json prints, so
 * that both tell the same. */
#include "server/cli/command-list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "server/base/utf8.h"
#include "server/cli/command-line.h"
#include "server/cli/header-text.h"
#include "server/cli/text-table.h"
#include "server/client/client-connect.h"
#include "server/client/client-list.h"
#include "server/client/client-tls.h"
#include "server/client/tls-client-peer.h"
#include "server/nbd/nbd-wire.h"

struct list_arguments {
    unsigned timeout_s;
    bool json;
    bool help;
};

#define FIELD(name) offsetof(struct list_arguments, name)

static const struct list_arguments list_defaults = { .timeout_s = 30 };

static const struct param list_params[] = {
    PARAM("timeout", UINT, "SECONDS", timeout_s, "for all of it together (default: 30)", .min = 1,
          .max = 86400),
    PARAM("json", FLAG, NULL, json, "print JSON, in a form that scripts can rely on"),
    PARAM("help", FLAG, NULL, help, "show this help", .letter = 'h'),
    { .name = NULL },
};

/* ---- JSON ---- */

static void add_text(struct json_object *object, const char *key, const char *text)
{
    json_object_object_add(object, key, text != NULL ? json_object_new_string(text) : NULL);
}

/* What somebody else chose. */
static void add_untrusted(struct json_object *object, const char *key, const char *text)
{
    char *clean = utf8_clean(text, strlen(text));

    add_text(object, key, clean);
    free(clean);
}

static struct json_object *json_flags(uint16_t flags)
{
    static const struct {
        uint16_t flag;
        const char *name;
    } names[] = {
        { NBD_FLAG_READ_ONLY, "read-only" },
        { NBD_FLAG_SEND_FLUSH, "flush" },
        { NBD_FLAG_SEND_FUA, "fua" },
        { NBD_FLAG_ROTATIONAL, "rotational" },
        { NBD_FLAG_SEND_TRIM, "trim" },
        { NBD_FLAG_SEND_WRITE_ZEROES, "zero" },
        { NBD_FLAG_SEND_FAST_ZERO, "fast-zero" },
        { NBD_FLAG_SEND_DF, "df" },
        { NBD_FLAG_SEND_CACHE, "cache" },
        { NBD_FLAG_CAN_MULTI_CONN, "multi-conn" },
        { NBD_FLAG_BLOCK_STATUS_PAYLOAD, "status-payload" },
    };
    struct json_object *array = json_object_new_array();

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if ((flags & names[i].flag) != 0)
            json_object_array_add(array, json_object_new_string(names[i].name));
    return array;
}

static struct json_object *json_blocks(const struct export_info *info)
{
    struct json_object *object;

    if (info->block_preferred_bytes == 0)
        return NULL;
    object = json_object_new_object();
    json_object_object_add(object, "minimum", json_object_new_int64(info->block_min_bytes));
    json_object_object_add(object, "preferred", json_object_new_int64(info->block_preferred_bytes));
    json_object_object_add(object, "maximum", json_object_new_int64(info->block_max_bytes));
    return object;
}

static struct json_object *json_contexts(const struct client_list_export *export)
{
    struct json_object *array = json_object_new_array();

    for (unsigned i = 0; i < export->context_count; i++)
        json_object_array_add(array, json_object_new_string(export->contexts[i]));
    return array;
}

static struct json_object *json_export(const struct client_list_export *export)
{
    struct json_object *object = json_object_new_object();

    add_text(object, "name", export->name);
    json_object_object_add(object, "size", NULL);
    if (export->why_not == NULL) {
        json_object_object_add(object, "size", json_object_new_uint64(export->info.size_bytes));
        json_object_object_add(object, "block-sizes", json_blocks(&export->info));
        json_object_object_add(object, "flags", json_flags(export->info.flags));
        json_object_object_add(object, "contexts", json_contexts(export));
    }
    add_text(object, "description", export->description);
    add_text(object, "error", export->why_not);
    return object;
}

static struct json_object *json_tls(struct tls_client *tls)
{
    struct json_object *object, *certificate;
    struct tls_client_peer peer;
    char expires[32];
    struct tm day;

    if (tls == NULL)
        return NULL;
    tls_client_peer_describe(&peer, tls);
    object = json_object_new_object();
    add_text(object, "session", peer.session);
    json_object_object_add(object, "certificate", NULL);
    if (!peer.has_certificate)
        return object;
    certificate = json_object_new_object();
    add_untrusted(certificate, "subject", peer.subject);
    add_untrusted(certificate, "issuer", peer.issuer);
    if (gmtime_r(&peer.expires, &day) != NULL &&
        strftime(expires, sizeof expires, "%Y-%m-%dT%H:%M:%SZ", &day) > 0)
        add_text(certificate, "expires", expires);
    json_object_object_add(object, "certificate", certificate);
    return object;
}

static struct json_object *json_of(const char *uri, const struct client_list *list,
                                   struct tls_client *tls)
{
    struct json_object *object = json_object_new_object(), *exports = json_object_new_array();

    add_untrusted(object, "uri", uri);
    json_object_object_add(object, "tls", json_tls(tls));
    add_text(object, "replies",
             list->extended_headers     ? "extended"
             : list->structured_replies ? "structured"
                                        : "simple");
    add_text(object, "list-refused", list->list_refused);
    for (unsigned i = 0; i < list->export_count; i++)
        json_object_array_add(exports, json_export(&list->exports[i]));
    json_object_object_add(object, "exports", exports);
    return object;
}

/* ---- text ---- */

static void put_name(char out[TEXT_CELL_BYTES], struct json_object *value)
{
    const char *name = json_object_get_string(value);

    (void)snprintf(out, TEXT_CELL_BYTES, "%s", name[0] == '\0' ? "''" : name);
}

static void put_block(char out[TEXT_CELL_BYTES], struct json_object *blocks)
{
    static const char *const keys[] = { "minimum", "preferred", "maximum" };
    char parts[3][TEXT_CELL_BYTES];

    for (unsigned i = 0; i < 3; i++)
        text_cell_short_size(parts[i], header_text_member(blocks, keys[i]));
    (void)snprintf(out, TEXT_CELL_BYTES, "%.20s/%.20s/%.20s", parts[0], parts[1], parts[2]);
}

static const struct text_column columns[] = {
    { .title = "EXPORT", .key = "name", .put = put_name, .most = 60 },
    { .title = "SIZE", .key = "size", .right = true, .put = text_cell_size },
    { .title = "BLOCKS", .key = "block-sizes", .put = put_block },
    { .title = "FLAGS", .key = "flags", .put = text_cell_words, .most = 100 },
    { .title = "CONTEXTS", .key = "contexts", .put = text_cell_words, .most = 60 },
    { .title = "DESCRIPTION", .key = "description", .most = 60 },
    { .title = NULL },
};

static void print_line(const char *title, const char *text)
{
    printf("%-13s", title);
    header_text_print_untrusted(text);
    (void)putchar('\n');
}

static void print_tls(struct json_object *tls)
{
    struct json_object *certificate;

    if (tls == NULL) {
        print_line("TLS:", "no");
        return;
    }
    print_line("TLS:", header_text_string(tls, "session"));
    certificate = header_text_member(tls, "certificate");
    if (certificate == NULL)
        return;
    print_line("Certificate:", header_text_string(certificate, "subject"));
    print_line("Issued by:", header_text_string(certificate, "issuer"));
    if (header_text_string(certificate, "expires") != NULL)
        print_line("Expires:", header_text_string(certificate, "expires"));
}

static void print_text(struct json_object *all)
{
    struct json_object *exports = header_text_member(all, "exports");
    const char *refused = header_text_string(all, "list-refused");

    print_line("Server:", header_text_string(all, "uri"));
    print_tls(header_text_member(all, "tls"));
    print_line("Replies:", header_text_string(all, "replies"));
    if (refused != NULL) {
        printf("%-13sthe server does not list its exports: ", "Exports:");
        header_text_print_untrusted(refused);
        printf("; this is the one without a name\n");
    }
    (void)putchar('\n');
    if (json_object_array_length(exports) == 0)
        printf("The server has no exports.\n");
    else
        text_table_print(stdout, columns, exports);
    for (size_t i = 0; i < json_object_array_length(exports); i++) {
        struct json_object *export = json_object_array_get_idx(exports, i);

        if (header_text_string(export, "error") == NULL)
            continue;
        printf("export '%s': ", header_text_string(export, "name"));
        header_text_print_untrusted(header_text_string(export, "error"));
        (void)putchar('\n');
    }
}

/* ---- the server ---- */

static int ask(struct json_object **out, const char *text, const struct nbd_uri *uri,
               unsigned timeout_s, struct error *err)
{
    struct channel channel = { .fd = -1, .end_ms = channel_clock_ms() + timeout_s * 1000ull };
    struct client_tls tls = { .uri = uri };
    struct client_list list = { .export_count = 0 };
    const struct client_wishes wishes = {
        .export_name = uri->export_name,
        .start_tls = uri->tls ? client_tls_start : NULL,
        .context = &tls,
    };
    int result = client_connect(&channel, uri, err);

    if (result == 0)
        result = client_list_read(&list, &channel, &wishes, err);
    if (result == 0)
        *out = json_of(text, &list, tls.client);
    client_list_free(&list);
    tls_client_free(tls.client);
    if (channel.fd >= 0)
        close(channel.fd);
    return result;
}

static int check(void *context, char **operands, struct error *err)
{
    struct nbd_uri uri;

    (void)context;
    int result = nbd_uri_parse(&uri, operands[0], err);
    if (result == 0) {
        result = nbd_uri_check_tls(&uri, err);
        nbd_uri_free(&uri);
    }
    if (result < 0)
        error_prefix(err, "'%.200s': ", operands[0]);
    return result;
}

/* Status 1 where an export that was named is not there. */
static int outcome(struct json_object *all, const struct nbd_uri *uri, struct error *err)
{
    struct json_object *exports = header_text_member(all, "exports");
    struct json_object *first = json_object_array_get_idx(exports, 0);

    if (uri->export_name[0] == '\0' || first == NULL || header_text_string(first, "error") == NULL)
        return 0;
    return error_set(err, -ENOENT, "export '%s': %s", uri->export_name,
                     header_text_string(first, "error"));
}

static int run(void *context, char **operands, struct error *err)
{
    const struct list_arguments *arguments = context;
    struct json_object *all = NULL;
    struct nbd_uri uri;
    int result = nbd_uri_parse(&uri, operands[0], err);

    if (result < 0)
        return result;
    result = ask(&all, operands[0], &uri, arguments->timeout_s, err);
    if (result == 0)
        result = outcome(all, &uri, err);
    if (result < 0)
        error_prefix(err, "'%.200s': ", operands[0]);
    else if (arguments->json)
        header_text_print_json(all);
    else
        print_text(all);
    json_object_put(all);
    nbd_uri_free(&uri);
    return result;
}

const struct command command_list = {
    .name = "list",
    .help = "show which exports a server has",
    .about = "Asks any NBD server for its exports, and what it tells of them: sizes, blocks,\n"
             "flags, contexts, descriptions.  No export is attached.  An export that is named\n"
             "in the URI is the only one that is shown.  The URI is nbd://HOST[:PORT]/[EXPORT]\n"
             "or nbd+unix:///[EXPORT]?socket=PATH; with TLS nbds:// and nbds+unix://, and\n"
             "tls-certificates=DIR or tls-psk-file=FILE behind the '?'.",
    .operands = "URI",
    .params = list_params,
    .arguments_bytes = sizeof(struct list_arguments),
    .defaults = &list_defaults,
    .check = check,
    .run = run,
};
