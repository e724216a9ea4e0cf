#include "server/config/config-file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/utf8.h"

#define BLANKS " \t"
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

struct cursor {
    struct config_file *config;
    char *at, *end;            /* what is still to be read */
    unsigned line;             /* that was read last */
    struct config_place place; /* of the one that is put together from such lines */
    enum { NO_SECTION_YET, IN_SECTION, SKIPPING } state; /* the last: up to the next section */
};

static int no_memory(struct error *err)
{
    return error_no_memory(err, "for the configuration");
}

/* `*items`, with room for one more: by doubling, for there may be hundreds of thousands. */
static int make_room(void **items, size_t count, size_t item_bytes, struct error *err)
{
    void *larger;

    if ((count & (count - 1)) != 0 && count != 0)
        return 0;
    larger = reallocarray(*items, count == 0 ? 1 : count * 2, item_bytes);
    if (larger == NULL)
        return no_memory(err);
    *items = larger;
    return 0;
}

int config_file_keep(struct config_file *config, char *text, struct error *err)
{
    int result = text == NULL ? no_memory(err)
                              : make_room((void **)&config->texts, config->text_count,
                                          sizeof *config->texts, err);

    if (result != 0)
        return free(text), result;
    config->texts[config->text_count++] = text;
    return 0;
}

/* ---- lines ---- */

/* The first byte that no configuration has; NULL: there is none. */
static const char *find_bad_byte(const char *line, const char *end)
{
    while (line < end) {
        size_t bytes = *line == '\t' ? 1 : utf8_character_bytes(line, (size_t)(end - line));

        if (bytes == 0)
            return line;
        line += bytes;
    }
    return NULL;
}

static void tell_bad_byte(struct cursor *cursor, unsigned char byte)
{
    struct config_place place = { cursor->place.file, cursor->line, cursor->place.order };

    config_problem(&cursor->config->problems, &place, "byte 0x%02x %s", byte,
                   byte == '\r'  ? "is a carriage return: write the file with the line ends of Unix"
                   : byte < 0x80 ? "is a control character, which no value can have"
                                 : "is not valid UTF-8, or part of a control character");
}

static bool is_continued(const char *line, const char *end)
{
    const char *first = end;

    while (first > line && first[-1] == '\\')
        first--;
    return (end - first) % 2 == 1;
}

/* One line as it stands in the file: its end.  cursor->at goes behind it. */
static char *next_line(struct cursor *cursor, bool *bad)
{
    char *line = cursor->at, *newline = memchr(line, '\n', (size_t)(cursor->end - line));
    char *end = newline != NULL ? newline : cursor->end;
    const char *byte = find_bad_byte(line, end);

    cursor->line++;
    cursor->at = newline != NULL ? newline + 1 : cursor->end;
    if (byte != NULL && !*bad)
        tell_bad_byte(cursor, (unsigned char)*byte);
    if (byte != NULL && line[strspn(line, BLANKS)] == '[')
        cursor->state = SKIPPING; /* it is not known which one begins here */
    *bad |= byte != NULL;
    return end;
}

/* One with what goes on in the next ones, put together where it begins.  NULL: it is not to be
 * looked at. */
static char *next_whole_line(struct cursor *cursor)
{
    struct config_problems *problems = &cursor->config->problems;
    char *start = cursor->at, *out = start;
    bool bad = false, goes_on = true, empty = true;

    cursor->place.line = cursor->line + 1;
    while (goes_on && cursor->at < cursor->end) {
        char *line = cursor->at, *end = next_line(cursor, &bad);
        const char *text = line + strspn(line, BLANKS);

        if (text < end && (*text == '#' || *text == ';')) {
            goes_on = !empty;
            continue;
        }
        empty = false;
        goes_on = is_continued(line, end);
        memmove(out, line, (size_t)(end - line));
        out += end - line;
        if (goes_on)
            out[-1] = ' ';
    }
    if (goes_on && !empty && !bad)
        config_problem(problems, &cursor->place, "it ends with '\\', and nothing follows");
    else if (!bad && (size_t)(out - start) > CONFIG_LINE_BYTES_MAX)
        config_problem(problems, &cursor->place, "it has %zu bytes: the most is %u",
                       (size_t)(out - start), CONFIG_LINE_BYTES_MAX);
    else if (!bad && !empty)
        return *out = '\0', start;
    return NULL;
}

/* ---- what they say ---- */

static char *trim(char *text)
{
    char *end;

    text += strspn(text, BLANKS);
    end = text + strlen(text);
    while (end > text && strchr(BLANKS, end[-1]) != NULL)
        end--;
    *end = '\0';
    return text;
}

/* Ends `text` at its first blank; what is behind it. */
static char *cut_word(char *text)
{
    char *end = text + strcspn(text, BLANKS);

    return *end == '\0' ? end : (*end = '\0', trim(end + 1));
}

static int parse_section(struct cursor *cursor, char *line, struct error *err)
{
    struct config_file *config = cursor->config;
    struct config_section section = { .place = cursor->place, .first_entry = config->entry_count };
    char *end = strrchr(line, ']');
    int result;

    cursor->state = SKIPPING;
    if (end == NULL || end[1] != '\0') {
        config_problem(&config->problems, &cursor->place,
                       "a section is written [NAME], with nothing behind it");
        return 0;
    }
    *end = '\0';
    section.kind = trim(line + 1);
    section.label = cut_word(trim(line + 1));
    result =
        make_room((void **)&config->sections, config->section_count, sizeof *config->sections, err);
    if (result == 0)
        config->sections[config->section_count++] = section;
    cursor->state = IN_SECTION;
    return result;
}

/* A line that is nothing is not repeated: it may be a key that went astray. */
static int parse_line(struct cursor *cursor, char *line, struct error *err)
{
    struct config_file *config = cursor->config;
    struct config_entry entry = { .place = cursor->place, .section = config->section_count - 1 };
    char *equals = strchr(line, '=');

    if (*line == '\0' || *line == '[')
        return *line == '[' ? parse_section(cursor, line, err) : 0;
    if (equals == NULL || equals == line || cursor->state != IN_SECTION) {
        if (cursor->state != SKIPPING)
            config_problem(&config->problems, &cursor->place, "%s",
                           cursor->state == IN_SECTION ? "it is neither [SECTION] nor KEY = VALUE"
                                                       : "a [SECTION] has to come first");
        cursor->state = cursor->state == IN_SECTION ? IN_SECTION : SKIPPING;
        return 0;
    }
    *equals = '\0';
    entry.key = trim(line);
    entry.argument = cut_word(line);
    entry.value = trim(equals + 1);
    int result =
        make_room((void **)&config->entries, config->entry_count, sizeof *config->entries, err);
    if (result != 0)
        return result;
    config->entries[config->entry_count++] = entry;
    config->sections[entry.section].entry_count++;
    return 0;
}

int config_file_parse(struct config_file *out, const char *path, const char *bytes,
                      size_t length_bytes, struct error *err)
{
    struct cursor cursor = { .config = out };
    int result = config_file_keep(out, strdup(path), err);

    cursor.place.file = result == 0 ? out->texts[out->text_count - 1] : NULL;
    if (result == 0)
        result = config_file_keep(out, malloc(length_bytes + 1), err);
    if (result != 0)
        return result;
    cursor.place.order = out->text_count;
    cursor.at = out->texts[out->text_count - 1];
    memcpy(cursor.at, bytes, length_bytes);
    cursor.end = cursor.at + length_bytes;
    *cursor.end = '\0';
    if (strncmp(cursor.at, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0)
        cursor.at += strlen(BYTE_ORDER_MARK);
    while (cursor.at < cursor.end && result == 0) {
        char *line = next_whole_line(&cursor);

        if (line != NULL)
            result = parse_line(&cursor, trim(line), err);
    }
    return result;
}

void config_file_free(struct config_file *config)
{
    for (size_t i = 0; i < config->text_count; i++)
        free(config->texts[i]);
    free(config->texts);
    free(config->sections);
    free(config->entries);
    config_problems_free(&config->problems);
    *config = (struct config_file){ 0 };
}
