/* The paths and ports that a sandbox leaves, as they are gathered. */
#ifndef NBDCRYPT_SANDBOX_LISTS_H
#define NBDCRYPT_SANDBOX_LISTS_H

#include "server/base/params.h"
#include "server/sandbox/sandbox.h"

/* Zeroed: empty. */
struct sandbox_lists {
    struct sandbox_path *paths; /* copies */
    uint16_t *connect, *bind;
    size_t path_count, connect_count, bind_count;
};

/* A copy; -ENOMEM.  NULL is none, and so is a relative one that is not to be demanded. */
NODISCARD int sandbox_lists_add_path(struct sandbox_lists *lists, const char *path,
                                     enum sandbox_access access, struct error *err);
/* The folder that it is in; where that is /, only itself. */
NODISCARD int sandbox_lists_add_folder_of(struct sandbox_lists *lists, const char *path,
                                          enum sandbox_access access, struct error *err);
NODISCARD int sandbox_lists_add_connect(struct sandbox_lists *lists, unsigned first, unsigned last,
                                        struct error *err);
NODISCARD int sandbox_lists_add_bind(struct sandbox_lists *lists, unsigned port, struct error *err);

/* --sandbox-image-paths: "/srv/images /dev/mapper", whole paths; they have to be there later. */
NODISCARD int sandbox_lists_add_paths(struct sandbox_lists *lists, const struct param_list *texts,
                                      struct error *err);
/* --sandbox-connect: "10809 6800-7300". */
NODISCARD int sandbox_lists_add_ports(struct sandbox_lists *lists, const struct param_list *texts,
                                      struct error *err);

void sandbox_lists_free(struct sandbox_lists *lists);

#endif
