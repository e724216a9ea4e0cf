/* Which implementation of AES-GCM is taken.
 *
 * Only one that is faster than that of GnuTLS, and that has passed its self-test
 * (crypto/gcm/gcm-selftest.h): elsewhere GnuTLS does it.  The environment variable NBDCRYPT_GCM
 * names another one, for tests and bug reports; "gnutls" is none of these.  To add one, add a file
 * with a `struct gcm_ops` and its row in gcm-choose.c. */
#ifndef NBDCRYPT_GCM_CHOOSE_H
#define NBDCRYPT_GCM_CHOOSE_H

#include "crypto/gcm/gcm.h"

/* The implementation to take; NULL: none, or NBDCRYPT_GCM wants none of them. */
const struct gcm_ops *gcm_choose(void);
/* A sentence for the log when implementations have failed their self-test, or NBDCRYPT_GCM names
 * one that is not there; NULL: all is well. */
const char *gcm_left_out(void);
/* What was built into this program, fastest first; NULL behind the last.  For tests and
 * benchmarks. */
const struct gcm_ops *gcm_implementation_at(size_t i);

#endif
