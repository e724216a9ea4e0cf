/* nbdcrypt list: which exports a server has. */
#ifndef NBDCRYPT_COMMAND_LIST_H
#define NBDCRYPT_COMMAND_LIST_H

struct command;

extern const struct command command_list;

#endif
