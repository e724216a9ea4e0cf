/* Configuration files: the lines that count, with their places.  What they mean is for others.
 *
 *     # a comment, and so is a line that begins with ';'
 *     [KIND LABEL]                the label goes up to the last ']'; there may be none
 *     KEY = VALUE                 the rest of the line, without blanks around it; '#' is one of it
 *     KEY ARGUMENT = VALUE
 *     KEY = a long one \          the backslash at the end becomes a blank, and the next line that
 * is that goes on            no comment goes on here
 *
 * The dialect is that of systemd.syntax(7).  Nothing is ever cut: what is too long is refused. */
#ifndef NBDCRYPT_CONFIG_FILE_H
#define NBDCRYPT_CONFIG_FILE_H

#include "server/config/config-problems.h"

#define CONFIG_FILE_BYTES_MAX (1u << 20)
#define CONFIG_LINE_BYTES_MAX (64u << 10)
#define CONFIG_FILES_MAX 20000u
#define CONFIG_BYTES_MAX (128u << 20) /* of all files */

struct config_section {
    struct config_place place;
    const char *kind;  /* "export" */
    const char *label; /* "vm7"; "": none */
    size_t first_entry, entry_count;
};

struct config_entry {
    struct config_place place;
    size_t section;       /* its index; those of one section stand together */
    const char *key;      /* "metadata" */
    const char *argument; /* "org.example"; "": none */
    const char *value;    /* may be "" */
};

/* All files, in the order in which they were read.  The strings belong to it. */
struct config_file {
    struct config_section *sections;
    size_t section_count;
    struct config_entry *entries;
    size_t entry_count;
    char **texts; /* what entries point into, and the names of the files */
    size_t text_count;
    size_t file_count, bytes;
    struct config_problems problems;
};

/* Adds the lines of one file.  What is wrong with it is noted in out->problems, and the rest is
 * read; -ENOMEM. */
NODISCARD int config_file_parse(struct config_file *out, const char *path, const char *bytes,
                                size_t length_bytes, struct error *err);

/* Keeps a text (NULL: there was no memory for it) until config_file_free(); it belongs to `config`
 * in every case.  -ENOMEM. */
NODISCARD int config_file_keep(struct config_file *config, char *text, struct error *err);

void config_file_free(struct config_file *config);

#endif
