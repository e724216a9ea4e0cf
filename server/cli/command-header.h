/* nbdcrypt header backup | restore, nbdcrypt erase: the header of a volume as a whole. */
#ifndef NBDCRYPT_COMMAND_HEADER_H
#define NBDCRYPT_COMMAND_HEADER_H

/* argv[0] is "header", argv[1] the subcommand.  Returns the exit status: 0, 1 failure, 2 usage. */
int command_header(int argc, char **argv);

/* argv[0] is "erase". */
int command_erase(int argc, char **argv);

#endif
