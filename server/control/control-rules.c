#include "server/control/control-rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *control_role_name(int role)
{
    static const char *const names[CONTROL_ROLES] = { "view", "operate", "admin" };

    return role >= 0 && role < CONTROL_ROLES ? names[role] : "none";
}

/* Others can't be met on this socket, and one that lets everybody in is a slip. */
static int check_rules(const struct access *access, struct error *err)
{
    if (access == NULL)
        return error_set(err, -EINVAL,
                         "any: whoever can connect would have this role: name users (uid:) or "
                         "groups (gid:)");
    for (size_t i = 0; i < access_rule_count(access); i++)
        if (access_rule_is_dead(access, i, ACCESS_BY_UNIX) != NULL)
            return error_set(err, -EINVAL,
                             "%.200s: clients of the control socket are users of this machine: "
                             "write uid:USER or gid:GROUP",
                             access_rule_text(access, i));
    return 0;
}

int control_rules_add(struct control_rules *rules, enum control_role role, const char *const *texts,
                      size_t count, struct error *err)
{
    if (count == 0)
        return 0;
    int result = access_create(&rules->rules[role], texts, count, err);
    return result == 0 ? check_rules(rules->rules[role], err) : result;
}

void control_rules_free(struct control_rules *rules)
{
    for (size_t i = 0; i < CONTROL_ROLES; i++)
        access_free(rules->rules[i]);
    *rules = (struct control_rules){ 0 };
}

/* All groups of the one who connected; *count is 0 where they can't be had.  Source: unix(7);
 * Linux 4.13 and later. */
static gid_t *groups_of(int fd, size_t *count)
{
    socklen_t bytes = 0;
    gid_t *groups = NULL;

    *count = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &bytes) == 0 || errno != ERANGE)
        return NULL;
    groups = malloc(bytes);
    if (groups != NULL && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) == 0)
        *count = bytes / sizeof *groups;
    return groups;
}

/* A rule has one gid: at most, so that each group can be tried for itself. */
static bool is_met(const struct access *access, const struct peer *peer, const gid_t *groups,
                   size_t count)
{
    struct peer as = *peer;
    bool met = access_allows(access, &as);

    for (size_t i = 0; i < count && !met; i++) {
        as.gid = groups[i];
        met = access_allows(access, &as);
    }
    return met;
}

int control_rules_role(const struct control_rules *rules, int fd, const struct peer *peer)
{
    int role = CONTROL_NOBODY;
    size_t count;

    if (peer->address.ss_family != AF_UNIX)
        return role;
    if (peer->uid == 0 || peer->uid == geteuid())
        return CONTROL_ADMIN;
    gid_t *groups = groups_of(fd, &count);
    for (int i = 0; i < CONTROL_ROLES; i++)
        if (rules->rules[i] != NULL && is_met(rules->rules[i], peer, groups, count))
            role = i;
    free(groups);
    return role;
}
