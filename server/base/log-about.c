#include "server/base/log-about.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "server/base/log-text.h"

#define VALUE_BYTES_MAX 1024u

struct fields {
    char *out;
    size_t used;
};

static void add_text(struct fields *fields, const char *name, const char *value)
{
    char escaped[VALUE_BYTES_MAX * LOG_TEXT_GROWTH];
    size_t name_bytes = strlen(name), bytes;

    if (value == NULL || strlen(value) > VALUE_BYTES_MAX)
        return;
    bytes = log_text_escape(escaped, value);
    if (name_bytes + bytes + 3 > LOG_FIELDS_BYTES - fields->used)
        return;
    memcpy(fields->out + fields->used, name, name_bytes);
    fields->used += name_bytes;
    fields->out[fields->used++] = '=';
    memcpy(fields->out + fields->used, escaped, bytes);
    fields->used += bytes;
    fields->out[fields->used++] = '\n';
}

static void add_number(struct fields *fields, const char *name, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, value);
    add_text(fields, name, text);
}

size_t log_about_fields(char out[LOG_FIELDS_BYTES], const struct log_about *about)
{
    struct fields fields = { .out = out };

    add_text(&fields, "MESSAGE_ID", about->id);
    if (about->client != 0)
        add_number(&fields, "NBDCRYPT_CLIENT", about->client);
    if (about->operation != NULL) {
        add_text(&fields, "NBDCRYPT_OP", about->operation);
        add_number(&fields, "NBDCRYPT_OFFSET", about->offset_bytes);
        add_number(&fields, "NBDCRYPT_LENGTH", about->length_bytes);
        add_number(&fields, "NBDCRYPT_DURATION_US", about->duration_us);
    }
    add_text(&fields, "NBDCRYPT_EXPORT", about->export);
    add_text(&fields, "NBDCRYPT_REPORT", about->report);
    add_text(&fields, "NBDCRYPT_PEER", about->who != NULL ? about->who : about->peer);
    add_text(&fields, "NBDCRYPT_IDENTITY", about->identity);
    out[fields.used] = '\0';
    return fields.used;
}
