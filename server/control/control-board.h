/* The methods of the control socket that tell what clients do, from the board: they wait for no
 * worker, also when one hangs. */
#ifndef NBDCRYPT_CONTROL_BOARD_H
#define NBDCRYPT_CONTROL_BOARD_H

#include "server/control/control-internal.h"

extern const struct control_method control_board_methods[];

/* A Figures of the interface; NULL: they move just now. */
struct json_object *control_board_figures(const struct control_host *host, const struct export *ex);
/* Adds how many commands its clients wait for, and how long they have waited for the oldest one;
 * looks through all commands that are under way. */
void control_board_add_flight(struct json_object *to, const struct control_host *host,
                              const struct export *ex);

#endif
