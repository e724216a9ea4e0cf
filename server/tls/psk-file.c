#include "server/tls/psk-file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/keys/private-file.h"
#include "server/tls/psk-line.h"

#define FILE_BYTES_MAX (4u * 1024u * 1024u)

/* Both are where they were in the file; the key has been turned into bytes in place. */
struct psk {
    const char *identity;
    size_t identity_bytes;
    uint8_t *key;
    size_t key_bytes;
};

struct psk_file {
    struct secret *text;
    struct psk *keys; /* sorted by identity */
    size_t count;
};

/* Of a hexadecimal digit. */
static unsigned digit(uint8_t c)
{
    return c <= '9' ? c - 0x30u : (c | 0x20u) - 0x61u + 10; /* '0', 'a' */
}

/* In place: the bytes are half as long. */
static void decode(uint8_t *hex, size_t hex_bytes)
{
    for (size_t i = 0; i < hex_bytes; i += 2)
        hex[i / 2] = (uint8_t)(digit(hex[i]) << 4 | digit(hex[i + 1]));
}

/* What is wrong with the line, or NULL. */
static const char *take_line(struct psk *psk, uint8_t *text, const struct psk_line *line)
{
    uint8_t *key = text + line->hex_at_bytes;

    if (line->fault != NULL)
        return line->fault;
    if (line->hex_bytes / 2 < PSK_KEY_BYTES_MIN)
        return "the key is shorter than 16 bytes";
    if (line->hex_bytes / 2 > PSK_KEY_BYTES_MAX)
        return "the key is longer than 256 bytes";
    decode(key, line->hex_bytes);
    *psk = (struct psk){ .identity = (const char *)text + line->start_bytes,
                         .identity_bytes = line->identity_bytes,
                         .key = key,
                         .key_bytes = line->hex_bytes / 2 };
    return NULL;
}

static int compare_text(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);

    return order != 0 ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int compare(const void *left, const void *right)
{
    const struct psk *a = left, *b = right;

    return compare_text(a->identity, a->identity_bytes, b->identity, b->identity_bytes);
}

static size_t count_lines(const struct secret *text)
{
    size_t lines = 1;

    for (size_t i = 0; i < text->length_bytes; i++)
        lines += text->data[i] == '\n';
    return lines;
}

static int parse_lines(struct psk_file *file, const char *path, struct error *err)
{
    struct psk_line line = { 0 };

    while (psk_line_next(file->text, &line)) {
        const char *identity = (const char *)file->text->data + line.start_bytes;
        const char *fault =
            line.fault == NULL ? psk_identity_fault(identity, line.identity_bytes) : NULL;

        if (fault != NULL)
            return error_set(err, -EINVAL, "%s, line %zu: its identity can't be used: %s", path,
                             line.number, fault);
        fault = take_line(&file->keys[file->count], file->text->data, &line);
        if (fault != NULL)
            return error_set(err, -EINVAL,
                             "%s, line %zu: %s; a line is IDENTITY:KEY as psktool "
                             "writes it, with a key of at least %u bytes",
                             path, line.number, fault, PSK_KEY_BYTES_MIN);
        file->count++;
    }
    return 0;
}

static int check_all(struct psk_file *file, const char *path, struct error *err)
{
    qsort(file->keys, file->count, sizeof *file->keys, compare);
    for (size_t i = 1; i < file->count; i++) {
        if (compare(&file->keys[i - 1], &file->keys[i]) == 0)
            return error_set(err, -EINVAL,
                             "%s: the identity '%.*s' is there twice: remove one line", path,
                             (int)file->keys[i].identity_bytes, file->keys[i].identity);
    }
    return 0;
}

int psk_file_read(struct psk_file **out, const char *path, struct error *err)
{
    struct psk_file *file = calloc(1, sizeof *file);

    if (file == NULL)
        return error_no_memory(err, "for pre-shared keys");
    int result = private_file_read(&file->text, path, FILE_BYTES_MAX, true, err);
    if (result == 0) {
        file->keys = calloc(count_lines(file->text), sizeof *file->keys);
        result = file->keys != NULL ? parse_lines(file, path, err)
                                    : error_no_memory(err, "for pre-shared keys");
    }
    if (result == 0)
        result = check_all(file, path, err);
    if (result < 0) {
        psk_file_free(file);
        return result;
    }
    *out = file;
    return 0;
}

void psk_file_free(struct psk_file *file)
{
    if (file == NULL)
        return;
    secret_free(file->text);
    free(file->keys);
    free(file);
}

const uint8_t *psk_file_find(const struct psk_file *file, const void *identity,
                             size_t identity_bytes, size_t *key_bytes)
{
    const struct psk wanted = { .identity = identity, .identity_bytes = identity_bytes };
    const struct psk *psk = bsearch(&wanted, file->keys, file->count, sizeof wanted, compare);

    if (psk == NULL)
        return NULL;
    *key_bytes = psk->key_bytes;
    return psk->key;
}

bool psk_file_is_empty(const struct psk_file *file)
{
    return file->count == 0;
}
