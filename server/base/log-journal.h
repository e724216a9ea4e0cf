/* The journal's own protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL): a datagram with fields
 * for each line.  It is documented for programs that speak it themselves; these few lines keep a
 * library with a large reach out of a process that holds keys. */
#ifndef NBDCRYPT_LOG_JOURNAL_H
#define NBDCRYPT_LOG_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "server/base/log.h"

/* -1: there is none to be had. */
int log_journal_open(void);
/* `fields` are lines of log_about_fields(), `line` is escaped and ends with the newline.  Waits as
 * long as the journal does not read.  False: it has not got there, and `fd` may be -1. */
bool log_journal_send(int fd, enum log_level level, const char *fields, const char *line,
                      size_t line_bytes);

#endif
