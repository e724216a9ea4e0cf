/* What a report tells of the exports and the configuration, as they are in force. */
#ifndef NBDCRYPT_REPORT_SECTIONS_H
#define NBDCRYPT_REPORT_SECTIONS_H

#include "server/serve/exports.h"
#include "server/serve/reload-config.h"

/* Main thread, before there are reports of them; both must stay until: */
void report_sections_use(struct exports *exports, struct reload_config *config);
/* They go: no report looks at them any more. */
void report_sections_forget(void);

#endif
