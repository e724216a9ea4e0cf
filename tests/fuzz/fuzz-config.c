/* Any bytes as a configuration file: what is wrong with it is told with its line, and what was
 * taken stands in the file as it is, in its order, none of it cut.
 *
 * With libFuzzer: see docs/hacking.md.  Without (FUZZ_STANDALONE) it is a unit test of random
 * input made of the pieces that mean something. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/utf8.h"
#include "server/config/config-file.h"
#include "server/serve/serve-config.h"
#include "server/serve/serve-options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_whole(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text == '\n' || *text == '\r')
            return false;
    return true;
}

static bool is_trimmed(const char *text)
{
    return *text == '\0' ||
           (strchr(" \t", text[0]) == NULL && strchr(" \t", text[strlen(text) - 1]) == NULL);
}

static unsigned count_lines(const uint8_t *data, size_t size)
{
    unsigned lines = 1;

    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    return lines;
}

static void check_entries(const struct config_file *config, unsigned lines)
{
    unsigned last = 0;

    for (size_t i = 0; i < config->entry_count; i++) {
        const struct config_entry *entry = &config->entries[i];

        const struct config_section *section = &config->sections[entry->section];

        assert(entry->section < config->section_count);
        assert(i >= section->first_entry && i - section->first_entry < section->entry_count);
        assert(config->sections[entry->section].place.line < entry->place.line);
        assert(entry->place.line > last && entry->place.line <= lines);
        assert(*entry->key != '\0' && strpbrk(entry->key, " \t=") == NULL);
        assert(strchr(entry->argument, '=') == NULL);
        assert(is_whole(entry->value) && is_whole(entry->argument) && is_whole(entry->key));
        assert(is_trimmed(entry->value) && is_trimmed(entry->argument));
        last = entry->place.line;
    }
}

static void check_problems(const struct config_problems *problems, unsigned lines)
{
    for (size_t i = 0; i < problems->count; i++) {
        assert(problems->items[i].place.line >= 1 && problems->items[i].place.line <= lines);
        assert(utf8_is_clean(problems->items[i].text));
    }
}

/* The rules that an export's sections have, as far as nothing takes them back. */
static bool has_rule(const struct config_file *config, const char *label)
{
    bool found = false;

    for (size_t i = 0; i < config->entry_count; i++) {
        const struct config_section *section = &config->sections[config->entries[i].section];

        if (strcmp(section->kind, "export") == 0 && strcmp(section->label, label) == 0 &&
            strcmp(config->entries[i].key, "allow") == 0)
            found = *config->entries[i].value != '\0';
    }
    return found;
}

static void check_exports(const struct serve_options *options)
{
    size_t at = 0;

    for (size_t i = 0; i < options->files.section_count; i++) {
        const struct config_section *section = &options->files.sections[i];

        if (strcmp(section->kind, "export") != 0)
            continue;
        assert(at < options->export_count && *section->label != '\0');
        assert(*options->exports[at].image != '\0');
        assert((options->exports[at].allow.count > 0) == has_rule(&options->files, section->label));
        at++;
    }
    assert(at == options->export_count);
}

/* What is in a file that it names is of no interest here. */
static void find_meaning(const char *bytes, size_t size, unsigned lines)
{
    struct serve_options options = { .config = "fuzz.conf" };

    assert(config_file_parse(&options.files, options.config, bytes, size, NULL) == 0);
    assert(serve_config_apply(&options, NULL) == 0);
    size_t room = serve_config_export_count(&options) + 1;
    options.exports = calloc(room, sizeof *options.exports);
    options.texts = calloc(room, sizeof *options.texts);
    options.export_places = calloc(room, sizeof *options.export_places);
    assert(options.exports != NULL && options.texts != NULL && options.export_places != NULL);
    assert(serve_config_exports(&options, 0, NULL) == 0);
    check_problems(&options.files.problems, lines);
    if (options.files.problems.count == 0)
        check_exports(&options);
    serve_options_free(&options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_file config = { 0 };
    char *exact = malloc(size > 0 ? size : 1); /* a sanitizer sees what reads beyond it */
    unsigned lines = count_lines(data, size);

    assert(exact != NULL);
    if (size > 0)
        memcpy(exact, data, size);
    assert(config_file_parse(&config, "fuzz.conf", exact, size, NULL) == 0);
    check_entries(&config, lines);
    check_problems(&config.problems, lines);
    if (memchr(exact, '\0', size) != NULL)
        assert(config.problems.count > 0);
    config_file_free(&config);
    if (memmem(exact, size, "metadata-file", strlen("metadata-file")) == NULL)
        find_meaning(exact, size, lines);
    free(exact);
    return 0;
}

#ifdef FUZZ_STANDALONE

#define INPUTS 20000u

static const char *const pieces[] = {
    "[",
    "]",
    "[server]\n",
    "[export vm7]\n",
    "=",
    " = ",
    "key",
    "allow",
    "\n",
    "\\\n",
    "\\",
    "\\\\",
    "#",
    "; ",
    " ",
    "\t",
    "\r\n",
    "\xff",
    "é",
    "\x01",
    "a",
    "\"",
    "metadata a",
    "\xef\xbb\xbf",
    "\x7f",
    "]]",
    "\xc2\x85",
    "==",
    "image = i\n",
    "allow = uid:0\n",
    "allow =\n",
    "raw = yes\n",
    "[export b]\n",
    "[defaults]\n",
    "name = \"",
    "\\x41",
    "threads = 3\n",
    "metadata org.a = {\"a\": 1}\n",
    "[tls]\n",
    "key-file = /k\n",
};

int main(void)
{
    unsigned seed = 1;

    for (unsigned i = 0; i < INPUTS; i++) {
        char text[1024] = "";
        size_t bytes = 0;

        for (int count = rand_r(&seed) % 60; count > 0 && bytes < sizeof text - 16; count--) {
            unsigned which = (unsigned)rand_r(&seed) % (sizeof pieces / sizeof pieces[0] + 1);

            if (which == sizeof pieces / sizeof pieces[0]) {
                text[bytes++] = '\0';
                continue;
            }
            memcpy(text + bytes, pieces[which], strlen(pieces[which]));
            bytes += strlen(pieces[which]);
        }
        LLVMFuzzerTestOneInput((const uint8_t *)text, bytes);
    }
    return 0;
}

#endif
