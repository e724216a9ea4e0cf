/* nbdcrypt tls: makes and shows certificates and keys for TLS. */
#ifndef NBDCRYPT_COMMAND_TLS_H
#define NBDCRYPT_COMMAND_TLS_H

/* argv[0] is "tls".  The exit status: 0, 1 failure (or `show` found something that can't be used),
 * 2 usage. */
int command_tls(int argc, char **argv);

#endif
