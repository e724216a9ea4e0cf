#include "server/cli/command-audit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "server/audit/audit-check.h"
#include "server/base/log.h"
#include "server/cli/command-line.h"

#define FAULTS_TOLD_MAX 100u

struct audit_arguments {
    struct param_list before;
    uint64_t last; /* 0: not given */
    bool help;
};

#define FIELD(name) offsetof(struct audit_arguments, name)

static const struct param audit_params[] = {
    PARAM("before", LIST, "FILE", before,
          "a file that was written before this one (repeatable, the oldest first)"),
    PARAM("last", SIZE, "NUMBER", last,
          "there must be a record of this number, such as nbdcrypt ctl status tells"),
    PARAM("help", FLAG, NULL, help, "show this help", .letter = 'h'),
    { 0 },
};

static uint64_t faults_told;

static void tell(const char *path, uint64_t line, const char *sentence)
{
    if (faults_told++ < FAULTS_TOLD_MAX)
        log_error("%s:%" PRIu64 ": %s", path, line, sentence);
}

static int check_file(struct audit_check *check, const char *path, struct error *err)
{
    bool is_input = strcmp(path, "-") == 0;
    FILE *file = is_input ? stdin : fopen(path, "re");

    if (file == NULL)
        return error_set(err, -errno, "audit file '%s': %s", path, strerror(errno));
    bool whole = audit_check_file(check, path, file);
    int error = errno;
    if (!is_input)
        fclose(file);
    return whole ? 0 : error_set(err, -error, "audit file '%s': %s", path, strerror(error));
}

static int sum_up(const struct audit_check *check, const char *path, uint64_t last)
{
    uint64_t faults = check->faults;

    if (check->records == 0) {
        log_error("%s: there is no record in it", path);
        faults++;
    } else if (check->last.seq < last) {
        log_error("%s: records are missing at its end: the last one is %" PRIu64 ", not %" PRIu64,
                  path, check->last.seq, last);
        faults++;
    }
    if (faults_told > FAULTS_TOLD_MAX)
        log_error("and %" PRIu64 " more", faults_told - FAULTS_TOLD_MAX);
    if (check->records > 0)
        printf("%s: %" PRIu64 " records, %" PRIu64 " to %" PRIu64 ", from %s to %s%s\n", path,
               check->records, check->first_seq, check->last.seq, check->first_time,
               check->last.time, faults == 0 ? ": none is missing" : "");
    return faults == 0 ? 0 : 1;
}

static int run(void *arguments, char **operands, struct error *err)
{
    const struct audit_arguments *asked = arguments;
    struct audit_check check = { .fault = tell };
    int result = 0;

    for (size_t i = 0; i < asked->before.count && result == 0; i++)
        result = check_file(&check, asked->before.items[i], err);
    if (result == 0)
        result = check_file(&check, operands[0], err);
    return result < 0 ? result : sum_up(&check, operands[0], asked->last);
}

const struct command command_audit = {
    .name = "audit",
    .help = "tell whether an audit log is whole",
    .about = "Records have numbers, and each has a hash over those before it.  The status is\n"
             "1 when records are missing or were changed.",
    .operands = "FILE",
    .params = audit_params,
    .arguments_bytes = sizeof(struct audit_arguments),
    .run = run,
};
