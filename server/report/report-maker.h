/* Makes reports: on the thread of the guard, or in the handler of a signal. */
#ifndef NBDCRYPT_REPORT_MAKER_H
#define NBDCRYPT_REPORT_MAKER_H

#include "server/report/report-file.h"
#include "server/report/report.h"

/* Sets memory aside, and starts the thread of the second tier.  `files` and `board` must stay. */
NODISCARD int report_maker_start(const struct report_files *files, const struct board *board,
                                 struct error *err);
/* Ends that thread, unless it hangs: it is left behind then. */
void report_maker_stop(void);

/* One at a time.  To a file, or to standard error; tells the log and who follows events. */
void report_make(const struct report_cause *cause);
/* To memory, with a NUL; tells nobody.  0, or -ENOSPC. */
NODISCARD int report_make_for(const struct report_cause *cause, char *out, size_t room_bytes,
                              bool json);

/* In the handler of a signal, once: without the second tier.  False: there is no report, for nobody
 * has started a maker. */
bool report_make_at_end(const struct report_cause *cause);

/* Of a process that has gone, by what is on its board. */
void report_make_of(const struct report_cause *cause, const struct report_files *files,
                    const struct board *board, pid_t pid);

#endif
