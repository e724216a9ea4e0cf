/* Making LUKS headers, in memory. */
#ifndef NBDCRYPT_LUKS_FORMAT_H
#define NBDCRYPT_LUKS_FORMAT_H

#include "crypto/luks/luks-pbkdf.h"
#include "crypto/luks/luks.h"

/* What a new header takes at the start of an image; the payload begins behind it. */
#define LUKS_FORMAT_AREA_BYTES_LUKS1 (2u * 1024u * 1024u)
#define LUKS_FORMAT_AREA_BYTES_LUKS2 (16u * 1024u * 1024u)

struct luks_format_options {
    enum luks_type type;
    const char *cipher;      /* "aes-xts-plain64" */
    unsigned key_bits;       /* of all keys of the cipher: 512 for XTS with AES-256 */
    uint32_t sector_bytes;   /* 512 .. 4096; LUKS1: 512 */
    struct luks_pbkdf pbkdf; /* of the first keyslot; its hash is also that of a LUKS1 header */
    const struct secret *volume_key; /* of key_bits; NULL: random */
    const char *label;               /* LUKS2, at most 47 bytes; NULL: none */
    const char *subsystem;           /* the same */
    const char *uuid;                /* NULL: random */
    uint64_t data_bytes;             /* of the data image, with the header area unless detached */
    bool detached;
    bool allow_discards; /* LUKS2: the persistent flag */
    const char *token;   /* LUKS2: JSON of a token that it has from the start; NULL: none */
};

/* A new header, to be written to the start of the image or to a header file. */
struct luks_format_result {
    int image_fd;          /* memfd with the header area; the caller closes it */
    uint64_t header_bytes; /* of the whole area, with the keyslots */
    uint64_t copy_bytes;   /* of one copy of the metadata, at its start */
    unsigned copies;       /* LUKS2: 2, behind each other; LUKS1: 1 */
    struct luks_segment segment;
};

/* Everything about the options but the size of the image; -EINVAL. */
NODISCARD int luks_format_check(const struct luks_format_options *options, struct error *err);

/* A random volume key, of a multiple of 8 bits; the caller frees it.  -EIO: there are no random
 * numbers. */
NODISCARD int luks_format_volume_key(struct secret **out, unsigned key_bits, struct error *err);

/* Makes a header with a volume key, by default a new random one, and one keyslot, which
 * `passphrase` opens.  Blocks (the key derivation, about 4 s by default).  luks_load() has accepted
 * the result before it is handed out. Errors: -EINVAL an option or a volume key that can't be; what
 * libcryptsetup says. */
NODISCARD int luks_format(struct luks_format_result *out, const struct luks_format_options *options,
                          const struct secret *passphrase, struct error *err);

#endif
