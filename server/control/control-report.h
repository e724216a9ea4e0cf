/* org.nbdcrypt.Report. */
#ifndef NBDCRYPT_CONTROL_REPORT_H
#define NBDCRYPT_CONTROL_REPORT_H

#include "server/control/control-internal.h"

extern const struct control_method control_report_methods[];

#endif
