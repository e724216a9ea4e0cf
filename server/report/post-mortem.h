/* A report of a server that has gone without a word: it was killed, by somebody or by the kernel
 * for want of memory, or crashed so that it could not write one.  It is made by the process beside
 * it (server/base/spawner.h), of what stands on its board. */
#ifndef NBDCRYPT_POST_MORTEM_H
#define NBDCRYPT_POST_MORTEM_H

#include "server/board/board.h"
#include "server/report/report-file.h"

/* In the server, at its start.  Nothing where reports go to standard error. */
NODISCARD int post_mortem_prepare(const struct report_files *files, const struct board *board,
                                  struct error *err);

/* In the process beside: see spawner_set_last_words(). */
void post_mortem(int fd, const char *text);

#endif
