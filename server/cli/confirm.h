/* Asking a person before something is lost. */
#ifndef NBDCRYPT_CONFIRM_H
#define NBDCRYPT_CONFIRM_H

#include "server/base/error.h"

/* Says on the terminal what will happen to `image`, and waits for the word to be typed.
 * -ENOTTY: standard input is no terminal; -ECANCELED: something else was typed. */
NODISCARD int confirm(const char *what, const char *image, const char *word, struct error *err);

#endif
