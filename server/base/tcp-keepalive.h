/* When the kernel takes the other end of a TCP connection for dead. */
#ifndef NBDCRYPT_TCP_KEEPALIVE_H
#define NBDCRYPT_TCP_KEEPALIVE_H

/* One that is silent is asked after 10 s, and every 5 s.  The connection breaks when there has been
 * no answer for `unacknowledged_ms`, or when what was sent has not been acknowledged, or has found
 * no room, for so long.  0: after 4 questions, and else when the kernel gives up, which takes a
 * quarter of an hour. Has no effect on Unix sockets, and need not. */
void tcp_keepalive(int fd, unsigned unacknowledged_ms);

#endif
