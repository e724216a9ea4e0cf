/* Connections: bytes arrive in order, in pieces cut anywhere, after delays of their own.  An
 * endpoint at a server is used by its loop, one at a client by fibers. */
#ifndef NBDCRYPT_SIM_NETWORK_H
#define NBDCRYPT_SIM_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct endpoint;

struct network_settings {
    uint64_t delay_max_ns;              /* of a piece */
    uint32_t window_bytes;              /* under way in one direction, at most */
    unsigned short_send, short_receive; /* per mille */
    unsigned stall;                     /* of pieces, for up to some seconds */
};

extern struct network_settings network;

void network_connect(struct endpoint *out[2]);
/* `changed` is called whenever the endpoint may have become readable or writable, or has broken. */
void endpoint_watch(struct endpoint *endpoint, void (*changed)(void *context), void *context);

/* As send(2) and recv(2) that do not wait: -EAGAIN, -ECONNRESET, -EPIPE; 0 is the end. */
int64_t endpoint_send(struct endpoint *endpoint, const void *data, size_t length_bytes);
int64_t endpoint_receive(struct endpoint *endpoint, void *out, size_t length_bytes);
bool endpoint_is_readable(const struct endpoint *endpoint);
bool endpoint_is_writable(const struct endpoint *endpoint);
size_t endpoint_unread_bytes(const struct endpoint *endpoint);
size_t endpoint_unsent_bytes(const struct endpoint *endpoint);
bool endpoint_is_reset(const struct endpoint *endpoint);
bool endpoint_peer_is_closed(const struct endpoint *endpoint);
void endpoint_shutdown(struct endpoint *endpoint, bool receive, bool send);
/* With unread bytes, a reset; else a FIN. */
void endpoint_close(struct endpoint *endpoint);
/* Both ends are broken at once. */
void endpoint_reset(struct endpoint *endpoint);

/* On a fiber: all of it; false: the connection is broken or has ended. */
bool endpoint_send_all(struct endpoint *endpoint, const void *data, size_t length_bytes);
bool endpoint_receive_all(struct endpoint *endpoint, void *out, size_t length_bytes);

#endif
