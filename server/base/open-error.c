/* Why a file can't be opened: see open-error.h. */
#include "server/base/open-error.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of an image that is named by `ctl add` the folder is the server's, not that of the caller. */
static void add_folder(char *out, size_t room_bytes)
{
    char folder[PATH_MAX];

    if (getcwd(folder, sizeof folder) != NULL)
        (void)snprintf(out, room_bytes, "; it is looked for from the folder '%.300s' on", folder);
}

static void add_users(char *out, size_t room_bytes, const char *path)
{
    struct stat status;

    if (stat(path, &status) != 0)
        (void)snprintf(out, room_bytes, ": uid %u may not enter its folder", geteuid());
    else
        (void)snprintf(out, room_bytes, ": it belongs to uid %u, and uid %u is who opens it",
                       status.st_uid, geteuid());
}

/* What systemd confines a service by looks like a fault of the file. */
static const char *setting_of_systemd(int result, const char *path)
{
    struct stat status;

    if (getenv("INVOCATION_ID") == NULL)
        return NULL;
    if (result == -EROFS)
        return "ReadWritePaths=";
    return result == -EPERM && stat(path, &status) == 0 && S_ISBLK(status.st_mode) ? "DeviceAllow="
                                                                                   : NULL;
}

struct open_error open_error(int result, const char *path)
{
    const char *setting = setting_of_systemd(result, path);
    struct open_error out;
    size_t used = (size_t)snprintf(out.text, sizeof out.text, "%.100s", strerror(-result));

    if (result == -ENOENT && path[0] != '/')
        add_folder(out.text + used, sizeof out.text - used);
    else if (result == -EACCES)
        add_users(out.text + used, sizeof out.text - used, path);
    else if (setting != NULL)
        (void)snprintf(out.text + used, sizeof out.text - used,
                       ", for this service: %s in a drop-in of its unit opens it", setting);
    return out;
}
