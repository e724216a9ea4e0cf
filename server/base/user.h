/* Another user for a process that was started by root. */
#ifndef NBDCRYPT_USER_H
#define NBDCRYPT_USER_H

#include <stdbool.h>
#include <sys/types.h>

#include "server/base/error.h"

struct user {
    bool given;
    uid_t uid;
    gid_t gid;
};

/* "NAME", "NAME:GROUP", by name or number; without a group it is that of the user.  Looked up now.
 * -EINVAL with a sentence; root is none. */
NODISCARD int user_parse(struct user *out, const char *text, struct error *err);

/* Whether this process may become that user: before anything is done for it.  -EPERM with a
 * sentence. */
NODISCARD int user_check(const struct user *user, struct error *err);

/* Before there are threads, and when what is to have root's rights for good has been started: who
 * is to become another user starts no program any more that has a capability, whatever stands in
 * its file (the bounding set of capabilities(7) is emptied).  The rights of this process stay. */
void user_prepare(const struct user *user);

/* All threads of this process are that user from now on, with that group and no other, and without
 * any capability; there is no way back.  Nothing happens when they are it already.  -EPERM: this
 * process may not. */
NODISCARD int user_become(const struct user *user, struct error *err);

#endif
