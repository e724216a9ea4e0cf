/* Whether an implementation of AES-GCM computes what it should on this machine. */
#ifndef NBDCRYPT_GCM_SELFTEST_H
#define NBDCRYPT_GCM_SELFTEST_H

#include "crypto/gcm/gcm.h"

/* Known answers, and texts of all interesting lengths beside GnuTLS's AES-GCM, with both key sizes;
 * takes well under a millisecond.  -EIO and what is wrong; -ENOMEM. */
NODISCARD int gcm_selftest(const struct gcm_ops *ops, struct error *err);

#endif
