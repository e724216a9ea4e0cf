/* Why a file can't be opened, for the person who must act: a service runs as another user than he
 * does, in another folder, and sees less. */
#ifndef NBDCRYPT_OPEN_ERROR_H
#define NBDCRYPT_OPEN_ERROR_H

struct open_error {
    char text[512];
};

/* `result`: the -errno that open() of `path` came to. */
struct open_error open_error(int result, const char *path);

#endif
