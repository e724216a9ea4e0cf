/* A line of the audit log, a JSON object:
 *
 *     {"seq":17,"time":"2026-11-30T04:50:15.123456Z","type":"client.attached", ... ,"hash":"..."}
 *
 * `seq` grows by one with each record, also of those that were lost.  `hash` is SHA-256 of the hash
 * of the record before and of the line up to the comma before "hash": so a line that is changed,
 * taken out or put in shows.  There is no key in it: who can write the file can make it anew. */
#ifndef NBDCRYPT_AUDIT_RECORD_H
#define NBDCRYPT_AUDIT_RECORD_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "server/base/event.h"

#define AUDIT_HASH_BYTES 65u     /* in hexadecimal digits, with the NUL */
#define AUDIT_LINE_BYTES 16384u  /* with the newline; what is longer is cut */
#define AUDIT_DETAIL_BYTES 8192u /* of what is particular to a record */

/* The hash before the first record. */
void audit_hash_begin(char hash[AUDIT_HASH_BYTES]);
/* `hash`, that of the record before, becomes that of the line that begins with these bytes. */
void audit_hash_next(char hash[AUDIT_HASH_BYTES], const char *line, size_t bytes);

/* ,"peer":"...","export":"..." for all that is known; returns its length. */
size_t audit_record_details(char out[AUDIT_DETAIL_BYTES], const struct event *event);

struct audit_head {
    uint64_t seq;
    struct timespec time; /* CLOCK_REALTIME */
    const char *type;
};

/* The whole line with its newline; `hash` is that of the record before, and becomes its own.
 * Returns its length. */
size_t audit_record_write(char out[AUDIT_LINE_BYTES], const struct audit_head *head,
                          const char *details, char hash[AUDIT_HASH_BYTES]);

/* ---- reading ---- */

struct audit_line {
    uint64_t seq;
    uint64_t lost;                       /* of "audit.lost" */
    uint64_t doubtful_from, doubtful_to; /* of "audit.doubtful"; 0: none */
    char time[40], type[40];
    char hash[AUDIT_HASH_BYTES];
    char after[AUDIT_HASH_BYTES]; /* of "audit.begin": the hash before it; "": not given */
    size_t hashed_bytes;          /* what the hash is of */
};

/* -1: that is no whole record.  `text` is without the newline. */
int audit_line_parse(struct audit_line *out, const char *text, size_t bytes);

#endif
