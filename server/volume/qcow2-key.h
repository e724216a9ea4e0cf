/* The key of an image that QEMU encrypted: qcow2-stage.h. */
#ifndef NBDCRYPT_QCOW2_KEY_H
#define NBDCRYPT_QCOW2_KEY_H

#include "crypto/luks/luks-demands.h"
#include "server/block/layer.h"
#include "server/keys/key-source.h"

struct qcow2_key_settings {
    const char *image;         /* for messages, which name it */
    const char *option_prefix; /* of options that messages name: "", "source-" */
    const struct key_source *key;
    const struct luks_demands *demands; /* of its LUKS header */
    bool sure; /* the passphrase is believed although what it decrypts looks like noise */
};

/* The LUKS header of an image that QEMU encrypted by LUKS, which is checked against `demands`.
 * Blocks.  Errors as of luks_load() and luks_demands_check(); the message does not name the image.
 */
NODISCARD int qcow2_key_header(struct luks_header **out, struct stage *top,
                               const struct luks_demands *demands, struct error *err);
/* -EINVAL: options that are not for such an image.  The message does not name it. */
NODISCARD int qcow2_key_check_options(bool raw, bool has_header, const char *option_prefix,
                                      struct error *err);
/* -EPERM: something is demanded that QEMU's AES can't meet.  The message does not name the image.
 */
NODISCARD int qcow2_key_check_aes(const struct luks_demands *demands, struct error *err);

/* Reads the key of the image at the bottom of `top`, which is encrypted, and unlocks it.  *segment:
 * cipher, sectors and UUID, for who shows them.  Blocks (key derivation).
 *
 * LUKS: errors as of volume_key_read() and luks_demands_check().  AES has nothing by which a wrong
 * passphrase could be told: -EACCES where what it decrypts looks like noise; -EPERM where anything
 * is demanded; -EINVAL where there is no passphrase in the key source. */
NODISCARD int qcow2_key_unlock(struct luks_segment *segment, struct stage *top,
                               const struct qcow2_key_settings *settings, struct error *err);

#endif
