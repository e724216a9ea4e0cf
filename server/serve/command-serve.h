/* nbdcrypt serve: exports, workers, listening sockets, and a clean end. */
#ifndef NBDCRYPT_COMMAND_SERVE_H
#define NBDCRYPT_COMMAND_SERVE_H

/* argv[0] is "serve".  The exit status: 0, 1 failure, 2 usage; with --run that of the command. */
int command_serve(int argc, char **argv);

#endif
