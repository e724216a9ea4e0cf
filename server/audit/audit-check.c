#include "server/audit/audit-check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define SENTENCE_BYTES 320u

struct place {
    const char *path;
    uint64_t line;
};

static void fault(struct audit_check *check, const struct place *place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void fault(struct audit_check *check, const struct place *place, const char *format, ...)
{
    char sentence[SENTENCE_BYTES];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    check->faults++;
    check->fault(place->path, place->line, sentence);
}

static void tell_missing(struct audit_check *check, const struct place *place, uint64_t first,
                         uint64_t behind, const char *why)
{
    uint64_t last = behind - 1;

    if (first == last)
        fault(check, place, "record %" PRIu64 " is missing: %s", first, why);
    else
        fault(check, place, "records %" PRIu64 " to %" PRIu64 " are missing: %s", first, last, why);
}

/* The numbers go on; false: they do not, which was told. */
static bool follows(struct audit_check *check, const struct place *place,
                    const struct audit_line *line)
{
    uint64_t next = check->last.seq + 1;

    if (line->seq < next + line->lost) {
        fault(check, place,
              "record %" PRIu64 " stands behind record %" PRIu64
              ": it is there twice, or another log begins here",
              line->seq, check->last.seq);
        return false;
    }
    if (line->seq > next + line->lost) {
        tell_missing(check, place, next, line->seq - line->lost,
                     "taken out of this file, or in one that was not given");
        return false;
    }
    return true;
}

/* What its hash is made of; "": that is not known. */
static const char *hash_before(const struct audit_check *check, const struct audit_line *line)
{
    if (check->has_last)
        return check->last.hash;
    return line->after;
}

static void check_hash(struct audit_check *check, const struct place *place, const char *text,
                       const struct audit_line *line)
{
    char hash[AUDIT_HASH_BYTES];
    const char *before = hash_before(check, line);

    if (strlen(before) != AUDIT_HASH_BYTES - 1) {
        fault(check, place,
              "the file begins with record %" PRIu64 ", and what was before it is missing",
              line->seq);
        return;
    }
    memcpy(hash, before, sizeof hash);
    audit_hash_next(hash, text, line->hashed_bytes);
    if (strcmp(hash, line->hash) != 0)
        fault(check, place, "record %" PRIu64 " was changed, or the one before it", line->seq);
}

static void check_line(struct audit_check *check, const struct place *place, const char *text,
                       size_t bytes)
{
    struct audit_line line;

    if (audit_line_parse(&line, text, bytes) < 0) {
        fault(check, place, "this is no whole record: it was cut off, or changed");
        return;
    }
    if (line.doubtful_to > 0)
        fault(check, place,
              "records %" PRIu64 " to %" PRIu64
              " were written and not made durable, as this one says: what a loss of power took is "
              "missing",
              line.doubtful_from, line.doubtful_to);
    bool begins = strcmp(line.type, "audit.begin") == 0;
    if (check->has_last ? follows(check, place, &line) : true)
        check_hash(check, place, text, &line);
    if (line.lost > 0)
        tell_missing(check, place, line.seq - line.lost, line.seq,
                     "the server could not write them, as this one says");
    if (begins && check->has_last && !check->has_end)
        fault(check, place,
              "the server began anew and had not ended: what it had not written is missing");
    if (check->records++ == 0) {
        check->first_seq = line.seq;
        memcpy(check->first_time, line.time, sizeof check->first_time);
    }
    check->last = line;
    check->has_last = true;
    check->has_end = strcmp(line.type, "audit.end") == 0;
}

/* The rest of a line that has no room. */
static size_t skip_line(FILE *file)
{
    size_t skipped = 0;
    int byte;

    while ((byte = getc(file)) != EOF && byte != '\n')
        skipped++;
    return skipped;
}

bool audit_check_file(struct audit_check *check, const char *path, FILE *file)
{
    char text[AUDIT_LINE_BYTES + 1];
    struct place place = { path, 0 };

    while (fgets(text, sizeof text, file) != NULL) {
        size_t bytes = strlen(text);

        place.line++;
        if (bytes > 0 && text[bytes - 1] == '\n') {
            check_line(check, &place, text, bytes - 1);
            continue;
        }
        (void)skip_line(file);
        fault(check, &place, "this is no whole record: it was cut off, or changed");
    }
    return !ferror(file);
}
