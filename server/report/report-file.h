/* Where reports go: two files for each, which only the server's user can read, or standard error.
 * Safe in a handler of a signal. */
#ifndef NBDCRYPT_REPORT_FILE_H
#define NBDCRYPT_REPORT_FILE_H

#include <limits.h>
#include <sys/types.h>

#include "server/report/report-tree.h"

#define REPORT_PATH_BYTES (PATH_MAX + 80u)

struct report_files {
    char directory[PATH_MAX]; /* "": to standard error */
    unsigned keep;            /* so many reports: older ones are removed; 0: all */
};

/* The folder is made, with mode 0700, where the one above it is there. */
void report_files_make_folder(const struct report_files *files);

/* Without a folder they are, to standard error; false: errno says why not. */
bool report_files_are_writable(const struct report_files *files);

/* Writes DIRECTORY/report-TIME-PID-KIND.txt and .json; `path` becomes the first one's.  Where that
 * fails the text goes to standard error, with the reason, and `path` is "".  A reader of standard
 * error that does not read is waited for a second. */
void report_files_write(const struct report_files *files, const char *kind, pid_t pid,
                        const struct report_tree *const *trees, size_t count,
                        char path[REPORT_PATH_BYTES]);

/* Removes the oldest reports of the folder, whosoever they are, beyond files->keep; those whose
 * time is still to come count as the oldest. */
void report_files_forget(const struct report_files *files);

#endif
