/* Where the control socket is, unless somebody says where. */
#ifndef NBDCRYPT_CONTROL_PATH_H
#define NBDCRYPT_CONTROL_PATH_H

#include <stdbool.h>
#include <sys/un.h>

/* The folder number `index` that it may be in, the best first, as far as this process has one:
 *     0  that of the service manager ($RUNTIME_DIRECTORY: systemd.exec(5))
 *     1  /run/nbdcrypt
 *     2  $XDG_RUNTIME_DIR/nbdcrypt
 * False: it has none of this number. */
#define CONTROL_FOLDERS 3u
#define CONTROL_FOLDER_OF_USER 2u
#define CONTROL_PATH_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)
bool control_folder(char out[CONTROL_PATH_BYTES], unsigned index);
/* The socket in that folder. */
bool control_path(char out[CONTROL_PATH_BYTES], unsigned index);

#endif
