/* Typed parameter tables: one row drives parsing, --help and the check that the man page
 * names every option. Used for the command line and for the `?key=value` of an IMAGE. */
#ifndef NBDCRYPT_PARAMS_H
#define NBDCRYPT_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "server/base/error.h"

enum param_type {
    PARAM_FLAG,   /* bool; takes no value on the command line, "", "yes"/"no", "1"/"0" behind '=' */
    PARAM_COUNT,  /* unsigned: how often it is there; otherwise like a flag */
    PARAM_STRING, /* const char *, points into the argument */
    PARAM_SIZE,   /* uint64_t bytes, with an optional suffix K M G T (powers of 1024) */
    PARAM_UINT,   /* unsigned, within [min, max] */
    PARAM_LIST,   /* struct param_list, in order of appearance */
};

struct param_list {
    const char **items; /* grows by realloc; free with params_free() */
    size_t count;
};

/* What a new value in a configuration file takes while the server runs. */
enum param_change {
    PARAM_CLI_ONLY, /* it is for the command line alone */
    PARAM_LIVE,     /* nothing: clients stay */
    PARAM_REPLACE,  /* the export is opened anew: its clients are disconnected */
    PARAM_RESTART,
};

struct param {
    const char *name; /* as the user writes it, without dashes: "key-file" */
    char letter;      /* short option, or 0 */
    enum param_type type;
    const char *value;   /* what --help calls the value: "FILE"; NULL for flags */
    const char *choices; /* "on|off" when it is one of these, for completion; NULL: any */
    const char *help;    /* one line */
    size_t offset;       /* of the field in the target struct */
    uint64_t min, max;   /* PARAM_UINT and PARAM_SIZE; max 0: no bound */
    const char *zero;    /* of these, a word that means 0: "off"; NULL: none */
    /* It takes a protection away: no message proposes it for something else that was typed. */
    bool never_proposed;

    const char *group;   /* the heading of --help that it stands under; NULL: none */
    const char *section; /* of a configuration file; NULL: it is for the command line alone */
    const char *key;     /* its name there; NULL: `name`, without "SECTION-" in front */
    enum param_change change;
    const char *why; /* PARAM_RESTART: why it takes that */
};

/* One row.  `...` are further members: PARAM("key-bits", UINT, "N", key_bits, "xts: 512 or 256",
 * .min = 128, .max = 512).  The file says #define FIELD(name) offsetof(struct target, name). */
#define PARAM(row_name, row_type, row_value, row_field, row_help, ...) \
    PARAM_AT(FIELD(row_field), row_name, row_type, row_value, row_help, __VA_ARGS__)

/* The same for macros that make rows of several structs. */
#define PARAM_AT(row_offset, row_name, row_type, row_value, row_help, ...)                    \
    {                                                                                         \
        .name = row_name, .type = PARAM_##row_type, .value = row_value, .offset = row_offset, \
        .help = row_help, __VA_ARGS__                                                         \
    }

/* `?key=value&key=value` of an IMAGE, still as text. */
struct params {
    const char *text; /* behind '?'; NULL: none */
};

/* "16M" -> 16777216.  -EINVAL with a message that quotes `text`. */
NODISCARD int params_parse_size(uint64_t *out, const char *text, struct error *err);

/* Sets the field of one parameter in `target` from `value` (NULL for a flag that stands
 * alone). */
NODISCARD int params_set(void *target, const struct param *param, const char *value,
                         struct error *err);

/* Sets the field back to what it is in `defaults`, a struct of the same type; a list becomes empty.
 */
void params_reset(void *target, const struct param *param, const void *defaults);

/* Sets the field to what it is in `from`, a struct of the same type, whose strings it points to.
 * -ENOMEM: a list, which is as it was. */
NODISCARD int params_share(void *target, const struct param *param, const void *from);

/* NULL: no row has this name. */
const struct param *params_find(const struct param *table, const char *name);

/* Parses `argv[1..]` by the table (long options --name VALUE, --name=VALUE, short ones,
 * "--" ends them) into `target`; what is not an option is moved to the end of argv in order
 * and *first_operand tells where it begins.  -EINVAL: unknown option (the message proposes
 * the nearest one), missing or bad value. */
NODISCARD int params_parse_argv(void *target, const struct param *table, int argc, char **argv,
                                int *first_operand, struct error *err);

/* Ends `text` at its first comma and gives what is behind it (NULL: there is none).  A doubled
 * comma does not count: it is one comma of the text. */
char *params_cut_at_comma(char *text);

/* Parses `key=value` pairs separated by `separator`: '&' for an IMAGE with %XX decoding, ',' for
 * --export, where a doubled comma is one of the value; `text` is modified and must stay as long as
 * `target` points into it. */
NODISCARD int params_parse_pairs(void *target, const struct param *table, char *text,
                                 char separator, struct error *err);

/* The name in the table that was probably meant by `typed`; NULL: none is near. */
const char *params_nearest(const struct param *table, const char *typed);

/* The rows as an aligned --help list, wrapped at 80 columns.  A heading stands before the first row
 * of each group. */
void params_print_help(FILE *out, const struct param *table);

/* Frees the lists of `target`. */
void params_free(void *target, const struct param *table);

#endif
