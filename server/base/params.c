#include "server/base/params.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES_MAX 64u
#define HELP_COLUMNS 80u
#define HELP_LABEL_MAX 30u /* a longer label has a line of its own */

static void *field(void *target, const struct param *param)
{
    return (char *)target + param->offset;
}

/* ---- values ---- */

/* Digits only: no sign, no blank, no other base. */
static bool parse_digits(uint64_t *out, const char *text, const char **end)
{
    uint64_t value = 0;

    if (*text < '0' || *text > '9')
        return false;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return false;
    }
    *out = value;
    *end = text;
    return true;
}

int params_parse_size(uint64_t *out, const char *text, struct error *err)
{
    static const char suffixes[] = "KMGT";
    const char *end, *suffix = NULL;
    uint64_t value;

    if (!parse_digits(&value, text, &end))
        goto bad;
    if (*end) {
        suffix = strchr(suffixes, *end >= 'a' ? *end - 'a' + 'A' : *end);
        if (suffix == NULL || end[1])
            goto bad;
        if (__builtin_mul_overflow(value, 1ull << (10 * (suffix - suffixes + 1)), &value))
            goto bad;
    }
    *out = value;
    return 0;
bad:
    return error_set(err, -EINVAL,
                     "'%s' is not a size: write a number of bytes below 2^64, or one with K, M, "
                     "G or T behind it (powers of 1024), such as 512M",
                     text);
}

static int check_bounds(uint64_t value, const struct param *param, struct error *err)
{
    if (value < param->min)
        return error_set(err, -EINVAL, "%llu is too small: the least is %llu",
                         (unsigned long long)value, (unsigned long long)param->min);
    if (param->max != 0 && value > param->max)
        return error_set(err, -EINVAL, "%llu is too large: the most is %llu",
                         (unsigned long long)value, (unsigned long long)param->max);
    return 0;
}

static int set_flag(bool *out, const char *value, struct error *err)
{
    if (value == NULL || !*value || !strcmp(value, "yes") || !strcmp(value, "1"))
        *out = true;
    else if (!strcmp(value, "no") || !strcmp(value, "0"))
        *out = false;
    else
        return error_set(err, -EINVAL, "'%s' is neither yes nor no", value);
    return 0;
}

static int add_to_count(unsigned *out, const char *value, struct error *err)
{
    bool more = false;
    int result = set_flag(&more, value, err);

    if (result == 0)
        *out = more ? *out + 1 : 0;
    return result;
}

static int set_size(uint64_t *out, const struct param *param, const char *value, struct error *err)
{
    uint64_t bytes;
    int result = params_parse_size(&bytes, value, err);

    if (result == 0)
        result = check_bounds(bytes, param, err);
    if (result == 0)
        *out = bytes;
    return result;
}

static int set_uint(unsigned *out, const struct param *param, const char *value, struct error *err)
{
    const char *end;
    uint64_t number;
    int result;

    if (!parse_digits(&number, value, &end) || *end)
        return error_set(err, -EINVAL, "'%s' is not a whole number", value);
    result = check_bounds(number, param, err);
    if (result != 0)
        return result;
    if (number > UINT32_MAX)
        return error_set(err, -EINVAL, "%s is too large", value);
    *out = (unsigned)number;
    return 0;
}

static int list_add(struct param_list *list, const char *value, struct error *err)
{
    const char **items = reallocarray(list->items, list->count + 1, sizeof *items);

    if (items == NULL)
        return error_no_memory(err, NULL);
    items[list->count++] = value;
    list->items = items;
    return 0;
}

static int set_value(void *target, const struct param *param, const char *value, struct error *err)
{
    if (param->type == PARAM_FLAG)
        return set_flag(field(target, param), value, err);
    if (param->type == PARAM_COUNT)
        return add_to_count(field(target, param), value, err);
    if (value == NULL)
        return error_set(err, -EINVAL, "a value is missing (%s)",
                         param->value != NULL ? param->value : "VALUE");
    if (param->zero != NULL && strcmp(value, param->zero) == 0)
        value = "0";
    switch (param->type) {
    case PARAM_FLAG:
    case PARAM_COUNT:
        break;
    case PARAM_STRING:
        *(const char **)field(target, param) = value;
        return 0;
    case PARAM_SIZE:
        return set_size(field(target, param), param, value, err);
    case PARAM_UINT:
        return set_uint(field(target, param), param, value, err);
    case PARAM_LIST:
        return list_add(field(target, param), value, err);
    }
    return error_set(err, -EINVAL, "its type is not in the table of types");
}

int params_set(void *target, const struct param *param, const char *value, struct error *err)
{
    int result = set_value(target, param, value, err);

    if (result != 0)
        error_prefix(err, "%s: ", param->name);
    return result;
}

void params_reset(void *target, const struct param *param, const void *defaults)
{
    static const size_t bytes[] = {
        [PARAM_FLAG] = sizeof(bool),           [PARAM_COUNT] = sizeof(unsigned),
        [PARAM_STRING] = sizeof(const char *), [PARAM_SIZE] = sizeof(uint64_t),
        [PARAM_UINT] = sizeof(unsigned),
    };

    if (param->type == PARAM_LIST)
        ((struct param_list *)field(target, param))->count = 0;
    else
        memcpy(field(target, param), (const char *)defaults + param->offset, bytes[param->type]);
}

int params_share(void *target, const struct param *param, const void *from)
{
    const struct param_list *list = (const void *)((const char *)from + param->offset);

    if (param->type != PARAM_LIST) {
        params_reset(target, param, from);
        return 0;
    }
    struct param_list *to = field(target, param);
    const char **items = reallocarray(to->items, list->count + 1, sizeof *items);
    if (items == NULL)
        return -ENOMEM;
    to->items = items;
    to->count = list->count;
    if (list->count > 0)
        memcpy(items, list->items, list->count * sizeof *items);
    return 0;
}

void params_free(void *target, const struct param *table)
{
    for (; table->name; table++) {
        struct param_list *list = field(target, table);

        if (table->type != PARAM_LIST)
            continue;
        free(list->items);
        *list = (struct param_list){ 0 };
    }
}

/* ---- names ---- */

static const struct param *find_name(const struct param *table, const char *name, size_t length)
{
    for (; table->name; table++) {
        if (strlen(table->name) == length && !memcmp(table->name, name, length))
            return table;
    }
    return NULL;
}

const struct param *params_find(const struct param *table, const char *name)
{
    return find_name(table, name, strlen(name));
}

static const struct param *find_letter(const struct param *table, char letter)
{
    for (; table->name; table++) {
        if (table->letter != 0 && table->letter == letter)
            return table;
    }
    return NULL;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* How many characters were left out, added, replaced or exchanged with their neighbour (optimal
 * string alignment), row by row.  No name in a table is as long as a row. */
static unsigned distance(const char *name, const char *typed, size_t typed_length)
{
    unsigned rows[3][NAME_BYTES_MAX];

    if (typed_length >= NAME_BYTES_MAX)
        return UINT32_MAX;
    for (unsigned k = 0; k <= typed_length; k++)
        rows[0][k] = k;
    for (unsigned i = 1; name[i - 1]; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *second_above = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t k = 1; k <= typed_length; k++) {
            unsigned replaced = above[k - 1] + (name[i - 1] != typed[k - 1]);

            row[k] = least(replaced, least(above[k], row[k - 1]) + 1);
            if (i > 1 && k > 1 && name[i - 1] == typed[k - 2] && name[i - 2] == typed[k - 1])
                row[k] = least(row[k], second_above[k - 2] + 1);
        }
    }
    /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.UndefReturn): each row is written so far */
    return rows[strlen(name) % 3][typed_length];
}

/* How much may differ: none is better than a far one. */
static unsigned distance_max(const char *name, size_t typed_length)
{
    size_t longer = strlen(name) > typed_length ? strlen(name) : typed_length;

    return longer < 4 ? (longer == 3) : (unsigned)(longer / 4);
}

/* The name that was probably meant: hardly anything of it differs, or it goes on where the typed
 * one ends. */
static const char *nearest_name(const struct param *table, const char *typed, size_t length)
{
    unsigned best_distance = UINT32_MAX;
    const struct param *best = NULL;

    for (; table->name; table++) {
        bool begins = length >= 3 && !strncmp(table->name, typed, length);
        unsigned steps = begins ? 1 : distance(table->name, typed, length);

        if (steps < best_distance && (begins || steps <= distance_max(table->name, length))) {
            best_distance = steps;
            best = table;
        }
    }
    return best != NULL && !best->never_proposed ? best->name : NULL;
}

const char *params_nearest(const struct param *table, const char *typed)
{
    return nearest_name(table, typed, strlen(typed));
}

static int unknown_name(const struct param *table, const char *dashes, const char *typed,
                        size_t length, struct error *err)
{
    const char *meant = nearest_name(table, typed, length);
    int shown = length < 200 ? (int)length : 200;

    if (meant)
        return error_set(err, -EINVAL, "unknown option '%s%.*s': did you mean %s%s?", dashes, shown,
                         typed, dashes, meant);
    return error_set(err, -EINVAL, "unknown option '%s%.*s'", dashes, shown, typed);
}

/* ---- the command line ---- */

struct argv_walk {
    void *target;
    const struct param *table;
    char **argv;
    int argc;
    int at; /* the next one to look at */
};

static bool takes_value(const struct param *param)
{
    return param->type != PARAM_FLAG && param->type != PARAM_COUNT;
}

static int set_option(struct argv_walk *walk, const struct param *param, const char *value,
                      struct error *err)
{
    int result;

    if (value == NULL && takes_value(param) && walk->at < walk->argc)
        value = walk->argv[walk->at++];
    result = params_set(walk->target, param, value, err);
    if (result != 0)
        error_prefix(err, "--");
    return result;
}

static int parse_long(struct argv_walk *walk, const char *text, struct error *err)
{
    size_t length = strcspn(text, "=");
    const struct param *param = find_name(walk->table, text, length);

    if (param == NULL)
        return unknown_name(walk->table, "--", text, length, err);
    return set_option(walk, param, text[length] ? text + length + 1 : NULL, err);
}

/* "-v", "-vr" (flags), "-k FILE", "-kFILE". */
static int parse_letters(struct argv_walk *walk, const char *text, struct error *err)
{
    for (; *text; text++) {
        const struct param *param = find_letter(walk->table, *text);
        int result;

        if (param == NULL)
            return error_set(err, -EINVAL, "unknown option '-%.1s'", text);
        if (takes_value(param))
            return set_option(walk, param, text[1] ? text + 1 : NULL, err);
        result = set_option(walk, param, NULL, err);
        if (result != 0)
            return result;
    }
    return 0;
}

static int parse_option(struct argv_walk *walk, const char *text, struct error *err)
{
    const struct param *param = find_name(walk->table, text + 1, strcspn(text + 1, "="));

    if (text[1] == '-')
        return parse_long(walk, text + 2, err);
    if (param != NULL && text[2])
        return error_set(err, -EINVAL,
                         "unknown option '%.200s': options of several letters begin with two "
                         "dashes",
                         text);
    return parse_letters(walk, text + 1, err);
}

/* Fills `operands` and moves what is none to the front of argv.  Room has been made for all. */
static int parse_walk(struct argv_walk *walk, char **operands, int *count, int *front,
                      struct error *err)
{
    while (walk->at < walk->argc) {
        char *text = walk->argv[walk->at];
        int first = walk->at++, ret;

        if (!strcmp(text, "--")) {
            walk->argv[(*front)++] = text;
            while (walk->at < walk->argc)
                operands[(*count)++] = walk->argv[walk->at++];
            break;
        }
        if (text[0] != '-' || !text[1]) {
            operands[(*count)++] = text;
            continue;
        }
        ret = parse_option(walk, text, err);
        if (ret != 0)
            return ret;
        for (; first < walk->at; first++)
            walk->argv[(*front)++] = walk->argv[first];
    }
    return 0;
}

int params_parse_argv(void *target, const struct param *table, int argc, char **argv,
                      int *first_operand, struct error *err)
{
    struct argv_walk walk = {
        .target = target,
        .table = table,
        .argv = argv,
        .argc = argc,
        .at = 1,
    };
    char **operands = calloc((size_t)argc + 1, sizeof *operands);
    int count = 0, front = 1, ret;

    if (operands == NULL)
        return error_no_memory(err, NULL);
    ret = parse_walk(&walk, operands, &count, &front, err);
    if (ret == 0) {
        for (int i = 0; i < count; i++)
            argv[front + i] = operands[i];
        *first_operand = front;
    }
    free(operands);
    return ret;
}

/* ---- key=value pairs ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* RFC 3986 section 2.1, in place.  %00 would end the string early: refused. */
static int decode_percent(char *text, struct error *err)
{
    char *out = text;

    for (const char *in = text; *in; in++) {
        int high, low;

        if (*in != '%') {
            *out++ = *in;
            continue;
        }
        high = hex_digit(in[1]);
        low = high < 0 ? -1 : hex_digit(in[2]);
        if (low < 0)
            return error_set(err, -EINVAL, "'%.3s' is no %%XX: write a '%%' itself as %%25", in);
        if (high == 0 && low == 0)
            return error_set(err, -EINVAL, "%%00 can't be part of a value");
        *out++ = (char)(high * 16 + low);
        in += 2;
    }
    *out = '\0';
    return 0;
}

static int parse_pair(void *target, const struct param *table, char *pair, bool percent,
                      struct error *err)
{
    char *equals = strchr(pair, '=');
    const struct param *param;
    size_t length;
    int result = 0;

    if (equals)
        *equals = '\0';
    if (percent)
        result = decode_percent(pair, err);
    if (result == 0 && percent && equals != NULL)
        result = decode_percent(equals + 1, err);
    if (result != 0)
        return result;
    length = strlen(pair);
    if (length == 0)
        return error_set(err, -EINVAL, "an option is empty: one is written key=value");
    param = find_name(table, pair, length);
    if (param == NULL)
        return unknown_name(table, "", pair, length, err);
    return params_set(target, param, equals != NULL ? equals + 1 : NULL, err);
}

char *params_cut_at_comma(char *text)
{
    char *out = text;

    for (; *text; *out++ = *text++) {
        if (*text == ',' && *++text != ',') {
            *out = '\0';
            return text;
        }
    }
    *out = '\0';
    return NULL;
}

static char *cut(char *text, char separator)
{
    char *end;

    if (separator == ',')
        return params_cut_at_comma(text);
    end = strchr(text, separator);
    if (end == NULL)
        return NULL;
    *end = '\0';
    return end + 1;
}

int params_parse_pairs(void *target, const struct param *table, char *text, char separator,
                       struct error *err)
{
    char *next = text;

    if (!*text)
        return 0;
    while (next) {
        char *pair = next;
        int result;

        next = cut(pair, separator);
        result = parse_pair(target, table, pair, separator == '&', err);
        if (result != 0)
            return result;
    }
    return 0;
}

/* ---- help ---- */

/* "  -k, --key-file FILE": the columns it takes, printed when `out` is there. */
static unsigned put_label(FILE *out, const struct param *param)
{
    char letter[] = { '-', param->letter, ',', ' ', '\0' };
    const char *value = param->value != NULL ? param->value : "";

    if (out)
        fprintf(out, "  %s--%s%s%s", param->letter ? letter : "    ", param->name,
                *value ? " " : "", value);
    return (unsigned)(8 + strlen(param->name) + (*value ? 1 + strlen(value) : 0));
}

/* Words, broken before the right edge and indented by `indent`. */
static void put_wrapped(FILE *out, const char *text, unsigned indent)
{
    unsigned column = indent;

    while (*text) {
        unsigned word = (unsigned)strcspn(text, " ");

        if (column > indent && column + 1 + word > HELP_COLUMNS) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", (int)word, text);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

void params_print_help(FILE *out, const struct param *table)
{
    const char *group = NULL;
    unsigned indent = 0;

    for (const struct param *param = table; param->name; param++) {
        unsigned columns = put_label(NULL, param);

        if (columns > indent && columns <= HELP_LABEL_MAX)
            indent = columns;
    }
    indent += 2;
    for (; table->name; table++) {
        unsigned columns;

        if (table->group != NULL && (group == NULL || strcmp(table->group, group) != 0))
            fprintf(out, "\n%s:\n", table->group);
        group = table->group;
        columns = put_label(out, table);
        if (columns + 2 > indent)
            fprintf(out, "\n%*s", (int)indent, "");
        else
            fprintf(out, "%*s", (int)(indent - columns), "");
        put_wrapped(out, table->help, indent);
    }
}
