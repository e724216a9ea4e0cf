#include "server/audit/audit-record.h"

#include <gcrypt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/gcrypt-library.h"
#include "server/base/log-text.h"

#define DIGEST_BYTES 32u
#define VALUE_BYTES_MAX 1024u
#define HASH_MEMBER ",\"hash\":\""

/* ---- the hash ---- */

void audit_hash_begin(char hash[AUDIT_HASH_BYTES])
{
    for (unsigned i = 0; i + 1 < AUDIT_HASH_BYTES; i++)
        hash[i] = '0';
    hash[AUDIT_HASH_BYTES - 1] = '\0';
}

void audit_hash_next(char hash[AUDIT_HASH_BYTES], const char *line, size_t bytes)
{
    const gcry_buffer_t parts[] = {
        { .size = AUDIT_HASH_BYTES - 1, .len = AUDIT_HASH_BYTES - 1, .data = hash },
        { .size = bytes, .len = bytes, .data = (void *)(uintptr_t)line },
    };
    uint8_t digest[DIGEST_BYTES] = { 0 };

    gcrypt_library_start();
    (void)gcry_md_hash_buffers(GCRY_MD_SHA256, 0, digest, parts, 2);
    for (unsigned i = 0; i < DIGEST_BYTES; i++)
        snprintf(hash + 2 * (size_t)i, 3, "%02x", digest[i]);
}

/* ---- writing ---- */

struct details {
    char *out;
    size_t used;
};

/* Quotes and backslashes, of what the log escapes, which has no control characters. */
static size_t quote(char *out, const char *text, size_t bytes)
{
    size_t used = 0;

    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '"' || text[i] == '\\')
            out[used++] = '\\';
        out[used++] = text[i];
    }
    return used;
}

static void put(struct details *details, const char *text, size_t bytes)
{
    memcpy(details->out + details->used, text, bytes);
    details->used += bytes;
}

/* The beginning of a long value will do. */
static void add_text(struct details *details, const char *name, const char *value)
{
    char start[VALUE_BYTES_MAX], escaped[VALUE_BYTES_MAX * LOG_TEXT_GROWTH];
    char quoted[2 * sizeof escaped];

    if (value == NULL)
        return;
    (void)snprintf(start, sizeof start, "%s", value);
    size_t bytes = quote(quoted, escaped, log_text_escape(escaped, start));
    if (strlen(name) + bytes + 8 > AUDIT_DETAIL_BYTES - details->used)
        return;
    put(details, ",\"", 2);
    put(details, name, strlen(name));
    put(details, "\":\"", 3);
    put(details, quoted, bytes);
    put(details, "\"", 1);
}

static void add_number(struct details *details, const char *name, uint64_t value)
{
    char text[80];
    int bytes = snprintf(text, sizeof text, ",\"%s\":%" PRIu64, name, value);

    if ((size_t)bytes < AUDIT_DETAIL_BYTES - details->used)
        put(details, text, (size_t)bytes);
}

size_t audit_record_details(char out[AUDIT_DETAIL_BYTES], const struct event *event)
{
    struct details details = { .out = out };

    add_text(&details, "result", event->result);
    add_text(&details, "export", event->export);
    if (event->local) {
        add_number(&details, "uid", event->uid);
        add_number(&details, "pid", event->pid);
    }
    if (event->client != 0)
        add_number(&details, "client", event->client);
    add_text(&details, "peer", event->peer);
    add_text(&details, "identity", event->identity);
    add_text(&details, "what", event->what);
    add_text(&details, "reason", event->reason);
    if (event->size_bytes != 0)
        add_number(&details, "size_bytes", event->size_bytes);
    out[details.used] = '\0';
    return details.used;
}

size_t audit_record_write(char out[AUDIT_LINE_BYTES], const struct audit_head *head,
                          const char *details, char hash[AUDIT_HASH_BYTES])
{
    struct tm day = { 0 };
    char date[32];

    gmtime_r(&head->time.tv_sec, &day);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &day);
    int bytes = snprintf(
        out, AUDIT_LINE_BYTES, "{\"seq\":%" PRIu64 ",\"time\":\"%s.%06ldZ\",\"type\":\"%.39s\"%.*s",
        head->seq, date, head->time.tv_nsec / 1000, head->type, (int)AUDIT_DETAIL_BYTES, details);
    audit_hash_next(hash, out, (size_t)bytes);
    bytes += snprintf(out + bytes, AUDIT_LINE_BYTES - (size_t)bytes, HASH_MEMBER "%s\"}\n", hash);
    return (size_t)bytes;
}

/* ---- reading ---- */

/* What stands between `prefix` and the next quote. */
static bool take_text(const char **at, const char *end, const char *prefix, char *out, size_t room)
{
    size_t prefix_bytes = strlen(prefix);

    if ((size_t)(end - *at) < prefix_bytes || memcmp(*at, prefix, prefix_bytes) != 0)
        return false;
    const char *text = *at + prefix_bytes, *quote = memchr(text, '"', (size_t)(end - text));
    if (quote == NULL || (size_t)(quote - text) >= room)
        return false;
    memcpy(out, text, (size_t)(quote - text));
    out[quote - text] = '\0';
    *at = quote + 1;
    return true;
}

static bool take_number(const char **at, const char *end, const char *prefix, uint64_t *out)
{
    size_t prefix_bytes = strlen(prefix), digits = 0;

    if ((size_t)(end - *at) < prefix_bytes || memcmp(*at, prefix, prefix_bytes) != 0)
        return false;
    const char *text = *at + prefix_bytes;
    for (*out = 0; text + digits < end && text[digits] >= '0' && text[digits] <= '9'; digits++)
        *out = *out * 10 + (uint64_t)(text[digits] - '0');
    *at = text + digits;
    return digits > 0 && digits < 20;
}

int audit_line_parse(struct audit_line *out, const char *text, size_t bytes)
{
    const size_t tail_bytes = sizeof HASH_MEMBER - 1 + AUDIT_HASH_BYTES - 1 + 2;
    const char *at = text, *end = text + bytes;

    *out = (struct audit_line){ 0 };
    if (bytes < tail_bytes || memchr(text, '\0', bytes) != NULL)
        return -1;
    out->hashed_bytes = bytes - tail_bytes;
    const char *tail = text + out->hashed_bytes;
    if (!take_text(&tail, end, HASH_MEMBER, out->hash, sizeof out->hash) || end - tail != 1 ||
        *tail != '}' || strspn(out->hash, "0123456789abcdef") != AUDIT_HASH_BYTES - 1)
        return -1;
    end = text + out->hashed_bytes;
    if (!take_number(&at, end, "{\"seq\":", &out->seq) ||
        !take_text(&at, end, ",\"time\":\"", out->time, sizeof out->time) ||
        !take_text(&at, end, ",\"type\":\"", out->type, sizeof out->type))
        return -1;
    (void)take_number(&at, end, ",\"lost\":", &out->lost);
    if (take_number(&at, end, ",\"from\":", &out->doubtful_from))
        (void)take_number(&at, end, ",\"to\":", &out->doubtful_to);
    (void)take_text(&at, end, ",\"after\":\"", out->after, sizeof out->after);
    return 0;
}
