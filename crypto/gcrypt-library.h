/* libgcrypt: started once, with memory that is locked for what depends on keys. */
#ifndef NBDCRYPT_GCRYPT_LIBRARY_H
#define NBDCRYPT_GCRYPT_LIBRARY_H

/* Before anything else of the library; any thread, any number of times. */
void gcrypt_library_start(void);

#endif
