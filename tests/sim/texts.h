/* Small files of the simulated world: configuration, certificates, keys of TLS.  They are there as
 * a whole, and no power cut takes them back.  Whoever opens one gets a real descriptor of it as it
 * is then. */
#ifndef NBDCRYPT_SIM_TEXTS_H
#define NBDCRYPT_SIM_TEXTS_H

#include <stdbool.h>
#include <stddef.h>

/* `name` is without SIM_FOLDER.  What had that name is replaced; `data` is copied. */
void text_put(const char *name, const void *data, size_t length_bytes);
void text_remove(const char *name);
bool text_is_there(const char *name);
/* A descriptor for reading; -1: there is none of that name. */
int text_open(const char *name);

#endif
