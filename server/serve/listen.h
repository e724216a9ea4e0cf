/* Listening sockets of the main loop: TCP, Unix, or handed over by socket activation. */
#ifndef NBDCRYPT_LISTEN_H
#define NBDCRYPT_LISTEN_H

#include "server/loop/loop.h"
#include "server/serve/serve-options.h"
#include "server/access/peer.h"

struct listener;

/* A client has connected; `fd` is the receiver's. */
typedef void listen_accepted_fn(void *context, int fd, const struct peer *peer);

/* Binds and listens.  A Unix socket that nobody serves any more is replaced; one that answers is
 * not, nor anything that is no socket. */
NODISCARD int listen_open(struct listener **out, const struct listen_address *address, bool share,
                          struct error *err);
/* Of a TCP socket: while it is so, another one of this user can take a part of its address, or more
 * than it, if that was opened with `share`. */
void listen_share(struct listener *listener, bool share);
/* The sockets of systemd's protocol (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES: sd_listen_fds(3)), at
 * most `max`; their number in *count, 0 when there are none.  *control, which is NULL at first: the
 * one that is named "control", which is not among them. */
NODISCARD int listen_activated(struct listener **out, size_t max, size_t *count,
                               struct listener **control, struct error *err);

/* Of a Unix socket that listen_open() gave: other permissions.  *before: what they were, to be
 * given back; may be NULL.  -errno: nothing has changed. */
NODISCARD int listen_permit(struct listener *listener, const struct unix_permissions *next,
                            struct unix_permissions *before, struct error *err);

/* Begins to accept on the loop. */
void listen_start(struct listener *listener, struct loop *loop, listen_accepted_fn *accepted,
                  void *context);
/* No new clients from now on; the path of a Unix socket goes, unless it is another server's by
 * now. */
void listen_stop(struct listener *listener);
/* The same while the server goes on: who has connected before is accepted, and it is freed when the
 * loop has done with it. */
void listen_retire(struct listener *listener);
/* Any thread, before listen_start(): the path of a Unix socket goes, for the process ends. */
void listen_remove_name(const struct listener *listener);
/* After the loop has ended. */
void listen_free(struct listener *listener);

/* "nbd://127.0.0.1:10809/NAME", "nbd+unix:///NAME?socket=/path"; "nbds://..." and "nbds+unix://..."
 * if `tls`; NBD URI specification, uri.md.  The caller's to free; NULL: no memory. */
char *listen_uri(const struct listener *listener, const char *export_name, bool tls);
/* For a client's Unix socket: its buffer does not grow by itself, and its default does not hold one
 * reply of 256 KiB. */
void listen_widen(int fd);
/* It stays the listener's. */
int listen_fd(const struct listener *listener);
/* Of a Unix socket, with a path or without. */
bool listen_is_unix(const struct listener *listener);
/* The path of a Unix socket, absolute; NULL for others. */
const char *listen_unix_path(const struct listener *listener);

#endif
