/* A disk in memory with a LUKS volume on it, and what is left of it when the power goes: any of the
 * 512-byte sectors that were written since the last flush may have arrived, in order or not. */
#ifndef NBDCRYPT_LUKS_DISK_H
#define NBDCRYPT_LUKS_DISK_H

#include "crypto/luks/luks-format.h"
#include "crypto/luks/luks-keyslot.h"
#include "crypto/luks/luks-store.h"
#include "tests/support/check.h"

#define MIB (1024u * 1024u)
#define IMAGE_BYTES (20ull * MIB)
#define SECTOR_BYTES 512u
#define COPY_BYTES 16384u /* of a LUKS2 header as it is made here */

/* Of states that differ in what is on the disk alone, the sanitizers, who look at our memory, get
 * each so-manieth. */
#ifdef __SANITIZE_ADDRESS__
#define LUKS_DISK_SAMPLE 4u
#else
#define LUKS_DISK_SAMPLE 1u
#endif

struct written {
    uint64_t offset_bytes;
    uint32_t length_bytes; /* at most a sector; 0: a flush */
    uint8_t data[SECTOR_BYTES];
};

struct disk {
    uint8_t *bytes; /* IMAGE_BYTES of them */
    struct written *log;
    size_t count, room;
    size_t corrupt_at; /* this write (1 is the first) is stored wrongly; 0: none */
    size_t calls;      /* writes and flushes as they came */
    size_t fail_at;    /* this one of them fails (1 is the first), after half of it; 0: none */
    int fail_code;     /* with this -errno */
    bool stays_broken; /* and so do all that come later */
};

extern struct error err;

/* A luks_read_fn. */
int disk_read(void *context, uint64_t offset_bytes, void *out, size_t length_bytes,
              struct error *read_err);
struct luks_store store_of(struct disk *disk);
void free_disk(struct disk *disk);
uint8_t *copy_of(const struct disk *disk); /* of its bytes; the caller frees it */

struct secret *make_secret(const char *text);
/* A volume that "first" opens. */
struct disk make_disk(enum luks_type type);
struct luks_header *load(struct disk *disk);
bool opens(struct luks_header *header, const char *text);
bool disk_loads(struct disk *disk); /* there is a header with keys */
bool disk_opens(struct disk *disk, const char *text);
/* "second", "changed", ...: made in an instant. */
struct luks_new_key make_new_key(const struct secret *passphrase);
/* Opened by `opened_by`; returns the keyslot or -errno. */
int add_key_as(struct luks_header *header, const char *opened_by, const char *text, int slot);

/* Plays what `done` has written since `done->count` was 0 onto `start`.  Whatever is lost of it,
 * one of the passphrases in `witnesses` ("a|b") opens the volume; NULL: it is the volume, or one
 * without keys. Returns the number of flushes.
 *
 * For cryptsetup's own opinion: when LUKS_CHANGE_STATES names a folder, states of the disk are left
 * there, named N.WITNESSES. */
unsigned lose_power(const uint8_t *start, const struct disk *done, const char *witnesses);

#endif
