/* Who may do what on the control socket. */
#ifndef NBDCRYPT_CONTROL_RULES_H
#define NBDCRYPT_CONTROL_RULES_H

#include "server/access/access.h"

/* Each may what those before it may. */
enum control_role { CONTROL_VIEW, CONTROL_OPERATE, CONTROL_ADMIN };
#define CONTROL_ROLES 3
#define CONTROL_NOBODY (-1)
/* "view" */
const char *control_role_name(int role);

/* Who has which role: rules as of --allow, uid: and gid: alone; gid: is any group of the client.
 * The user who runs the server, and root, have all. */
struct control_rules {
    struct access *rules[CONTROL_ROLES]; /* NULL: nobody else */
};
/* -EINVAL with a sentence that begins with the rule. */
NODISCARD int control_rules_add(struct control_rules *rules, enum control_role role,
                                const char *const *texts, size_t count, struct error *err);
void control_rules_free(struct control_rules *rules);
/* Of the one at the other end of a Unix socket; CONTROL_NOBODY: none. */
int control_rules_role(const struct control_rules *rules, int fd, const struct peer *peer);

#endif
