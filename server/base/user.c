#include "server/base/user.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* ---- names ---- */

static bool parse_number(const char *text, unsigned long *out)
{
    char *end;

    *out = strtoul(text, &end, 10);
    return isdigit((unsigned char)*text) && *end == '\0' && *out < (uid_t)-1;
}

static int parse_group(struct user *user, const char *text, struct error *err)
{
    const struct group *found = getgrnam(text);
    unsigned long number;

    if (found != NULL)
        user->gid = found->gr_gid;
    else if (parse_number(text, &number))
        user->gid = (gid_t)number;
    else
        return error_set(err, -EINVAL, "--user: there is no group '%s'", text);
    return 0;
}

static int parse_user(struct user *user, const char *text, bool has_group, struct error *err)
{
    const struct passwd *found = getpwnam(text);
    unsigned long number;

    if (found == NULL && parse_number(text, &number)) {
        found = getpwuid((uid_t)number);
        user->uid = (uid_t)number;
    } else if (found == NULL) {
        return error_set(err, -EINVAL, "--user: there is no user '%s'", text);
    }
    if (found == NULL && !has_group)
        return error_set(err, -EINVAL, "--user: nobody knows the group of user %s: write %s:GROUP",
                         text, text);
    if (found != NULL) {
        user->uid = found->pw_uid;
        user->gid = found->pw_gid;
    }
    return 0;
}

int user_parse(struct user *out, const char *text, struct error *err)
{
    const char *colon = strchr(text, ':');
    char *name = strndup(text, colon != NULL ? (size_t)(colon - text) : strlen(text));

    *out = (struct user){ .given = true };
    if (name == NULL)
        return error_no_memory(err, NULL);
    int result = parse_user(out, name, colon != NULL, err);
    if (result == 0 && colon != NULL)
        result = parse_group(out, colon + 1, err);
    free(name);
    if (result == 0 && out->uid == 0)
        result = error_set(err, -EINVAL,
                           "--user: it is root, who has all rights: name another "
                           "user, or leave it out");
    return result;
}

/* ---- becoming one ---- */

static bool is_already(const struct user *user)
{
    return getuid() == user->uid && geteuid() == user->uid && getegid() == user->gid;
}

int user_check(const struct user *user, struct error *err)
{
    if (!user->given || is_already(user) || geteuid() == 0)
        return 0;
    return error_set(err, -EPERM,
                     "--user: only root may become another user: start the server as root, or as "
                     "that user and without --user");
}

/* Where root may not do this, he has it from somebody who has taken that from him. */
static void drop_bounding_set(void)
{
    for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0;
         capability++)
        (void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
}

void user_prepare(const struct user *user)
{
    if (user->given && !is_already(user))
        drop_bounding_set();
}

/* glibc does it for each thread.  Who is not root any more has no capabilities. */
int user_become(const struct user *user, struct error *err)
{
    if (is_already(user))
        return 0;
    drop_bounding_set();
    if (setgroups(0, NULL) != 0 || setresgid(user->gid, user->gid, user->gid) != 0 ||
        setresuid(user->uid, user->uid, user->uid) != 0)
        return error_set(err, -errno, "--user: user %u with group %u can't be taken: %s", user->uid,
                         user->gid, strerror(errno));
    if (setuid(0) == 0)
        return error_set(err, -EPERM, "--user: the way back to root is open");
    return 0;
}
