/* nbdcrypt attach, attached, detach: see nbdcrypt-attach(8). */
#ifndef NBDCRYPT_COMMAND_ATTACH_H
#define NBDCRYPT_COMMAND_ATTACH_H

struct command;

extern const struct command command_attach, command_attached, command_detach;

#endif
