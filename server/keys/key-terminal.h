/* A passphrase from a person at the terminal. */
#ifndef NBDCRYPT_KEY_TERMINAL_H
#define NBDCRYPT_KEY_TERMINAL_H

#include <stdbool.h>

#include "crypto/secret.h"

/* How often a person may type a passphrase before it is given up. */
#define KEY_TERMINAL_TRIES 3u

/* Asks on standard input, which is a terminal, without echo; `image` is named in the prompt.  The
 * line counts without its newline.  `confirm` asks twice.  When it is empty, or the
 * two differ, it asks again, KEY_TERMINAL_TRIES times in all.  The caller frees *out.  -EINVAL;
 * -EINTR.  Blocks. */
NODISCARD int key_terminal_ask(struct secret **out, const char *image, bool confirm,
                               struct error *err);

/* Any thread: the process is about to end while somebody may be typing. */
void key_terminal_echo_again(void);

#endif
