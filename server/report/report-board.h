/* What stands on the board: workers, requests in flight, clients, exports with what they did, and
 * the last messages. */
#ifndef NBDCRYPT_REPORT_BOARD_H
#define NBDCRYPT_REPORT_BOARD_H

#include "server/report/report.h"

#define REPORT_REQUESTS_MAX 64u /* the oldest */
#define REPORT_CLIENTS_MAX 512u
#define REPORT_EXPORTS_MAX 1024u
#define REPORT_LINES_MAX 200u

extern const struct report_section report_workers_section, report_requests_section,
    report_clients_section, report_figures_section, report_messages_section;

#endif
