#ifndef NBDCRYPT_CONTROL_METRICS_H
#define NBDCRYPT_CONTROL_METRICS_H

#include "server/control/control-internal.h"

extern const struct control_method control_metrics_methods[];

#endif
