#include "server/control/control-path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool put(char out[CONTROL_PATH_BYTES], const char *folder, size_t folder_bytes,
                const char *name)
{
    int bytes = snprintf(out, CONTROL_PATH_BYTES, "%.*s%s", (int)folder_bytes, folder, name);

    return bytes > 0 && (size_t)bytes < CONTROL_PATH_BYTES;
}

bool control_folder(char out[CONTROL_PATH_BYTES], unsigned index)
{
    const char *folder = index == 0   ? getenv("RUNTIME_DIRECTORY")
                         : index == 1 ? "/run/nbdcrypt"
                                      : getenv("XDG_RUNTIME_DIR");

    if (folder == NULL || folder[0] != '/')
        return false;
    /* The service manager gives several with colons between them. */
    size_t bytes = index == 0 ? strcspn(folder, ":") : strlen(folder);
    return put(out, folder, bytes, index == CONTROL_FOLDER_OF_USER ? "/nbdcrypt" : "");
}

bool control_path(char out[CONTROL_PATH_BYTES], unsigned index)
{
    char folder[CONTROL_PATH_BYTES];

    return control_folder(folder, index) && put(out, folder, strlen(folder), "/control");
}
