#include "server/serve/serve-user.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "server/base/log.h"
#include "server/base/spawner.h"

/* So that he can connect there, and remove it at the end.  Its group stays. */
static int give(const char *path, const struct user *user, struct error *err)
{
    if (path == NULL || path[0] == '\0' || lchown(path, user->uid, (gid_t)-1) == 0)
        return 0;
    return error_set(err, -errno, "--user: '%s' can't be given to user %u: %s", path, user->uid,
                     strerror(errno));
}

int serve_user_become(const struct serve_options *options, const char *private_directory,
                      const char *control_path, struct error *err)
{
    const struct user *user = &options->user;

    if (!user->given || geteuid() == user->uid)
        return 0;
    int result = give(private_directory, user, err);
    if (result == 0)
        result = give(control_path, user, err);
    if (result == 0)
        result = give(options->report.directory, user, err);
    if (result == 0)
        result = spawner_become(user, err);
    if (result == 0)
        result = user_become(user, err);
    if (result == 0)
        log_info("going on as user %u with group %u", user->uid, user->gid);
    return result;
}
