/* SetLogLevel: the level of the log, and those of single exports. */
#ifndef NBDCRYPT_CONTROL_LEVEL_H
#define NBDCRYPT_CONTROL_LEVEL_H

#include <json-c/json.h>
#include <stdbool.h>

#include "server/base/log.h"

struct control;
struct control_client;

void control_level_set(struct control_client *client);
/* Once a second.  True: it has to be called again. */
bool control_level_tick(struct control *control);
/* "log_level" and "log_exports" of a status. */
void control_level_describe(struct json_object *to, const struct control *control);
void control_level_free(struct control *control);

#endif
