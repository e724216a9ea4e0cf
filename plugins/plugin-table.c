#include "plugins/plugin-table.h"

#include "plugins/file/file.h"
#include "plugins/memory.h"
#include "plugins/nbdkit/nbdkit.h"
#include "plugins/remote/remote.h"

#ifdef HAVE_RBD
#include "plugins/rbd/rbd.h"
#endif

const struct layer_ops *const plugin_table[] = {
    &file_ops,
    &memory_ops,
    &nbdkit_ops,
    &remote_tcp_ops,
    &remote_tcp_tls_ops,
    &remote_unix_ops,
    &remote_unix_tls_ops,
#ifdef HAVE_RBD
    &rbd_ops,
#endif
    NULL,
};
