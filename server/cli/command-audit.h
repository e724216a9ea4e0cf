/* nbdcrypt audit: whether an audit log is whole. */
#ifndef NBDCRYPT_COMMAND_AUDIT_H
#define NBDCRYPT_COMMAND_AUDIT_H

struct command;

extern const struct command command_audit;

#endif
