/* The methods of the control socket that tell what clients do, from the board: they wait for no
 * worker, also when one hangs. */
#ifndef NBDCRYPT_CONTROL_BOARD_H
#define NBDCRYPT_CONTROL_BOARD_H

#include "server/control/control-internal.h"

extern const struct control_method control_board_methods[];

#endif
