/* nbdcrypt token list | import | export | remove: what a LUKS2 header says about opening its
 * keyslots. */
#ifndef NBDCRYPT_COMMAND_TOKEN_H
#define NBDCRYPT_COMMAND_TOKEN_H

/* argv[0] is "token", argv[1] the subcommand.  Returns the exit status: 0, 1 failure, 2 usage. */
int command_token(int argc, char **argv);

#endif
