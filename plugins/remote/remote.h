/* nbd://, nbds://, nbd+unix://, nbds+unix:// - a disk of another NBD server: our own client. */
#ifndef NBDCRYPT_REMOTE_H
#define NBDCRYPT_REMOTE_H

#include "server/block/layer.h"

extern const struct layer_ops remote_tcp_ops, remote_tcp_tls_ops, remote_unix_ops,
    remote_unix_tls_ops;

#endif
