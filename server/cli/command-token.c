/* nbdcrypt token: see command-token.h. */
#include "server/cli/command-token.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "crypto/luks/luks-describe.h"
#include "crypto/luks/luks-token.h"
#include "server/cli/command-line.h"
#include "server/volume/header-demands.h"
#include "server/cli/header-text.h"
#include "server/block/lock-params.h"
#include "server/cli/output-file.h"
#include "server/volume/volume.h"

#define TOKEN_NOT_GIVEN UINT32_MAX

struct token_arguments {
    unsigned token;
    const char *header;
    struct lock_terms terms;
    bool force;
    bool json;
    bool help;
    struct header_demands demands;
};

#define FIELD(name) offsetof(struct token_arguments, name)

#define PARAM_TOKEN(help) PARAM("token", UINT, "N", token, help, .max = LUKS_TOKENS_MAX - 1)
#define PARAM_HEADER \
    PARAM("header", STRING, "FILE", header, "the header is in this file, not in the image")
#define PARAMS_LOCK LOCK_ROWS(struct token_arguments, terms)
#define PARAM_HELP PARAM("help", FLAG, NULL, help, "show this help", .letter = 'h')

static const struct param list_params[] = {
    PARAM("json", FLAG, NULL, json, "print JSON, in a form that scripts can rely on"),
    PARAM_HEADER,
    PARAM_HELP,
    { .name = NULL },
};

static const struct param import_params[] = {
    PARAM_TOKEN("its number (default: the first that is free)"),
    PARAM("force", FLAG, NULL, force, "replace the token of this number", .never_proposed = true),
    PARAMS_LOCK,
    PARAM_HEADER,
    HEADER_DEMAND_ROWS(struct token_arguments, demands),
    PARAM_HELP,
    { .name = NULL },
};

static const struct param export_params[] = {
    PARAM_TOKEN("its number (default: the only one there is)"),
    PARAM("force", FLAG, NULL, force, "replace FILE if it exists", .never_proposed = true),
    PARAM_HEADER,
    PARAM_HELP,
    { .name = NULL },
};

static const struct param remove_params[] = {
    PARAM_TOKEN("its number"),
    PARAMS_LOCK,
    PARAM_HEADER,
    HEADER_DEMAND_ROWS(struct token_arguments, demands),
    PARAM_HELP,
    { .name = NULL },
};

/* ---- list ---- */

static void print_tokens(struct json_object *info, bool as_json)
{
    struct json_object *tokens = header_text_member(info, "tokens");
    struct json_object *list;

    if (!as_json) {
        for (size_t i = 0; i < json_object_array_length(tokens); i++)
            header_text_print_token(json_object_array_get_idx(tokens, i));
        return;
    }
    list = json_object_new_object();
    json_object_object_add(list, "tokens", json_object_get(tokens));
    header_text_print_json(list);
    json_object_put(list);
}

static int run_list(void *context, char **operands, struct error *err)
{
    const struct token_arguments *arguments = context;
    struct json_object *info = NULL;
    struct volume volume;
    int result =
        volume_open_header(&volume, operands[0], arguments->header, VOLUME_READ, NULL, err);

    if (result == 0)
        result = luks_describe_json(&info, volume.header, err);
    volume_close(&volume);
    if (result == 0)
        print_tokens(info, arguments->json);
    json_object_put(info);
    return result;
}

/* ---- changes ---- */

struct token_work {
    const struct token_arguments *arguments;
    const char *json; /* NULL: remove */
    int token;
};

static int change_tokens(void *context, struct luks_header *header, struct luks_change *change,
                         struct error *err)
{
    struct token_work *work = context;

    (void)change;
    if (work->json)
        return luks_token_set(&work->token, header, work->json, work->arguments->force, err);
    return luks_token_remove(work->token, header, err);
}

static int change_header(struct token_work *work, const char *image, struct error *err)
{
    struct luks_demands demands = header_demands_meaning(&work->arguments->demands);
    struct volume volume;
    int result = volume_open_demanded(&volume, image, work->arguments->header, &demands,
                                      VOLUME_CHANGE_KEYS, &work->arguments->terms, err);

    if (result == 0)
        result = volume_change(&volume, change_tokens, work, err);
    volume_close(&volume);
    return result;
}

static int check_demands(void *context, char **operands, struct error *err)
{
    const struct token_arguments *arguments = context;

    (void)operands;
    return header_demands_check(&arguments->demands, err);
}

/* ---- import ---- */

/* NUL-terminated; the caller frees it. */
static int read_file(char **out, FILE *file, struct error *err)
{
    char *text = malloc(LUKS_TOKEN_BYTES_MAX + 1);
    size_t length_bytes;

    if (text == NULL)
        return error_no_memory(err, "for a token");
    length_bytes = fread(text, 1, LUKS_TOKEN_BYTES_MAX, file);
    text[length_bytes] = '\0';
    *out = text;
    if (ferror(file))
        return error_set(err, -EIO, "%s", strerror(errno));
    if (length_bytes == LUKS_TOKEN_BYTES_MAX)
        return error_set(err, -EFBIG, "it is larger than any header");
    if (strlen(text) != length_bytes)
        return error_set(err, -EINVAL, "it is no text");
    return 0;
}

static int read_token(char **out, const char *path, struct error *err)
{
    bool standard_input = strcmp(path, "-") == 0;
    FILE *file = standard_input ? stdin : fopen(path, "re");
    int result;

    if (file == NULL)
        return error_set(err, -errno, "token '%s' can't be opened: %s", path, strerror(errno));
    result = read_file(out, file, err);
    if (result < 0)
        error_prefix(err, "token '%s' can't be used: ", path);
    if (!standard_input)
        (void)fclose(file);
    return result;
}

static int run_import(void *context, char **operands, struct error *err)
{
    const struct token_arguments *arguments = context;
    struct token_work work = { .arguments = arguments, .token = LUKS_TOKEN_ANY };
    char *json = NULL;
    int result = read_token(&json, operands[1], err);

    if (result == 0) {
        work.json = json;
        if (arguments->token != TOKEN_NOT_GIVEN)
            work.token = (int)arguments->token;
        result = change_header(&work, operands[0], err);
    }
    free(json);
    if (result == 0)
        printf("It is token %d of %s.\n", work.token, operands[0]);
    return result;
}

/* ---- remove ---- */

static int check_remove(void *context, char **operands, struct error *err)
{
    const struct token_arguments *arguments = context;

    if (arguments->token == TOKEN_NOT_GIVEN)
        return error_set(err, -EINVAL, "which one? --token N tells; token list shows them");
    return check_demands(context, operands, err);
}

static int run_remove(void *context, char **operands, struct error *err)
{
    const struct token_arguments *arguments = context;
    struct token_work work = { .arguments = arguments, .token = (int)arguments->token };
    int result = change_header(&work, operands[0], err);

    if (result == 0)
        printf("Token %d of %s is removed.\n", work.token, operands[0]);
    return result;
}

/* ---- export ---- */

/* The only token, when none was named. */
static int choose_token(int *token, struct volume *volume, unsigned named, struct error *err)
{
    struct json_object *info = NULL, *tokens;
    int result = 0;

    *token = (int)named;
    if (named != TOKEN_NOT_GIVEN)
        return 0;
    result = luks_describe_json(&info, volume->header, err);
    if (result < 0)
        return result;
    tokens = header_text_member(info, "tokens");
    if (json_object_array_length(tokens) == 1)
        *token = (int)header_text_number(json_object_array_get_idx(tokens, 0), "token");
    else
        result = error_set(err, -EINVAL, "it has %zu tokens; --token N tells which one is meant",
                           json_object_array_length(tokens));
    json_object_put(info);
    return result;
}

static int export_token(struct volume *volume, const struct token_arguments *arguments,
                        const char *path, struct error *err)
{
    char *json = NULL;
    int token = 0;
    int result = choose_token(&token, volume, arguments->token, err);

    if (result == 0)
        result = luks_token_get(&json, token, volume->header, err);
    if (result != 0)
        volume_prefix(volume, err);
    else if (path)
        result = output_file_write(path, json, strlen(json), arguments->force, err);
    else
        printf("%s\n", json);
    free(json);
    return result;
}

static int run_export(void *context, char **operands, struct error *err)
{
    const struct token_arguments *arguments = context;
    struct volume volume;
    int result =
        volume_open_header(&volume, operands[0], arguments->header, VOLUME_READ, NULL, err);

    if (result == 0)
        result = export_token(&volume, arguments, operands[1], err);
    volume_close(&volume);
    return result;
}

/* ---- the commands ---- */

static const struct token_arguments defaults = { .token = TOKEN_NOT_GIVEN };

static const struct command token_list = {
    .name = "token list",
    .help = "show the tokens",
    .about = "Shows the tokens of a LUKS2 header: what they are for, not what is in them.",
    .operands = "IMAGE",
    .params = list_params,
    .arguments_bytes = sizeof(struct token_arguments),
    .defaults = &defaults,
    .run = run_list,
};

static const struct command token_import = {
    .name = "token import",
    .help = "store a token",
    .about = "Stores a token, JSON with the members type and keyslots, in a LUKS2 header.\n"
             "FILE may be -, standard input.",
    .operands = "IMAGE FILE",
    .params = import_params,
    .arguments_bytes = sizeof(struct token_arguments),
    .defaults = &defaults,
    .check = check_demands,
    .run = run_import,
};

static const struct command token_export = {
    .name = "token export",
    .help = "write a token to a file",
    .about = "Writes the JSON of a token to FILE, or to standard output.",
    .operands = "IMAGE [FILE]",
    .params = export_params,
    .arguments_bytes = sizeof(struct token_arguments),
    .defaults = &defaults,
    .run = run_export,
};

static const struct command token_remove = {
    .name = "token remove",
    .help = "remove a token",
    .about = "Removes a token; the keyslots it is for stay.",
    .operands = "IMAGE",
    .params = remove_params,
    .arguments_bytes = sizeof(struct token_arguments),
    .defaults = &defaults,
    .check = check_remove,
    .run = run_remove,
};

static const struct command *const token_commands[] = { &token_list, &token_import, &token_export,
                                                        &token_remove, NULL };

const struct command command_token = {
    .name = "token",
    .help = "list, import, export and remove the tokens of a LUKS2 image",
    .commands = token_commands,
};
