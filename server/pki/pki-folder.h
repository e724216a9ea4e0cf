/* Small files in folders, written so that a crash or a full disk leaves the old or the new, and
 * nothing half-made.  Everything goes by an open folder, never by a path that could change
 * meanwhile.  Control plane: blocks. */
#ifndef NBDCRYPT_PKI_FOLDER_H
#define NBDCRYPT_PKI_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "crypto/secret.h"

struct pki_folder {
    int fd;     /* -1: not open */
    char *path; /* for messages; owned */
};

#define FOLDER_CLOSED          \
    {                          \
        .fd = -1, .path = NULL \
    }

/* Opens a folder.  -errno. */
NODISCARD int pki_folder_open(struct pki_folder *out, const char *path, struct error *err);
NODISCARD int pki_folder_open_child(struct pki_folder *out, const struct pki_folder *parent,
                                    const char *name, struct error *err);
/* The folder in which `path` is or would be; *name is its last component, owned by the caller.
 * -EINVAL when the last component is "." or "..", or there is none. */
NODISCARD int pki_folder_open_parent(struct pki_folder *out, char **name, const char *path,
                                     struct error *err);
/* Makes an empty folder for its owner only.  -EEXIST when anything has that name. */
NODISCARD int pki_folder_make_child(struct pki_folder *out, const struct pki_folder *parent,
                                    const char *name, struct error *err);
/* The same, under a name that nobody has; the caller frees *name. */
NODISCARD int pki_folder_make_temporary(struct pki_folder *out, char **name,
                                        const struct pki_folder *parent, struct error *err);
/* Whether it is of the kind that this file makes: something was killed before it was renamed. */
bool pki_folder_is_temporary(const char *name);
/* What messages call it from now on. */
NODISCARD int pki_folder_show_as(struct pki_folder *folder, const char *path, struct error *err);
/* The last component of its path. */
const char *pki_folder_name(const struct pki_folder *folder);
/* What was not opened is fine. */
void pki_folder_close(struct pki_folder *folder);

/* Waits until no other process has it locked; it is unlocked when it is closed. */
NODISCARD int pki_folder_lock(const struct pki_folder *folder, struct error *err);
/* Whether anything has this name. */
bool pki_folder_has(const struct pki_folder *folder, const char *name);

/* Calls `visit` for each entry but "." and "..", sorted by name, until it returns something else
 * than 0, which is then returned. */
NODISCARD int pki_folder_each(const struct pki_folder *folder,
                              int (*visit)(void *context, const struct pki_folder *folder,
                                           const char *name, struct error *err),
                              void *context, struct error *err);

/* Reads a whole file.  -EFBIG when it has more than `bytes_max`, -errno.  The caller frees *out. */
NODISCARD int pki_folder_read(struct secret **out, const struct pki_folder *folder,
                              const char *name, size_t bytes_max, struct error *err);

/* Makes a file with these permissions (whatever the umask) that is on the disk when 0 is returned,
 * and is gone after a failure. -EEXIST when anything has that name. */
NODISCARD int pki_folder_write(const struct pki_folder *folder, const char *name,
                               const struct secret *data, mode_t mode, struct error *err);

/* A file that will take the place of another (or of none). */
struct folder_change {
    const char *name;
    const struct secret *data;
    mode_t mode; /* without those bits that the old file lacked, when keep_mode */
    bool keep_mode;
};

/* Writes all of them beside those they replace, then renames one after the other in this order:
 * a full disk changes nothing.  An owner other than this process's is kept. */
NODISCARD int pki_folder_replace(const struct pki_folder *folder,
                                 const struct folder_change *changes, size_t count,
                                 struct error *err);

/* Renames what is in `parent`: an empty folder of the new name gives way, another one does not
 * (-EEXIST). */
NODISCARD int pki_folder_rename(const struct pki_folder *parent, const char *from, const char *to,
                                struct error *err);
/* Exchanges the two names. */
NODISCARD int pki_folder_exchange(const struct pki_folder *parent, const char *one,
                                  const char *other, struct error *err);
/* Removes a file, or a folder with all that is in it, as far as possible; does not follow links. */
void pki_folder_remove(const struct pki_folder *parent, const char *name);

#endif
