/* What is to be said about certificates and keys: JSON in the form that nbdcrypt-tls(1)
 * documents, from which the table is printed too. */
#ifndef NBDCRYPT_PKI_REPORT_H
#define NBDCRYPT_PKI_REPORT_H

#include <time.h>

#include <json-c/json.h>

#include "server/base/error.h"

/* A certificate that ends within so many days is worth a word. */
#define PKI_REPORT_DAYS_SOON 30

/* One object for what is at `path`: a file, judged by those around it, or a folder with those below
 * it.  `now` is the time of judgement (UTC).  No key is in it.  -ENOENT, -ENOMEM.  The caller puts
 * it. */
NODISCARD int pki_report_make(struct json_object **out, const char *path, time_t now,
                              struct error *err);

#endif
