/* Whether an audit log is whole. */
#ifndef NBDCRYPT_AUDIT_CHECK_H
#define NBDCRYPT_AUDIT_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "server/audit/audit-record.h"

struct audit_check {
    /* Is told each fault: a sentence about that line. */
    void (*fault)(const char *path, uint64_t line, const char *sentence);

    uint64_t records, faults;
    uint64_t first_seq;
    char first_time[40];
    struct audit_line last;
    bool has_last, has_end;
};

/* One file after the other, the oldest first.  False: it can't be read, as errno says. */
bool audit_check_file(struct audit_check *check, const char *path, FILE *file);

#endif
