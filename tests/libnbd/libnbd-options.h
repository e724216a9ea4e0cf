/* What a server tells in the handshake, asked by libnbd's calls for each option. */
#ifndef NBDCRYPT_TEST_LIBNBD_OPTIONS_H
#define NBDCRYPT_TEST_LIBNBD_OPTIONS_H

/* URI, and the names and sizes of the exports that the server must have, in order. */
void check_options(int argc, char **argv);

#endif
