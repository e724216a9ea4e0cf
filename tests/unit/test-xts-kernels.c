/* The implementations of AES-XTS that this machine can run: equal to GnuTLS on whatever they are
 * given, and nothing but the run is touched. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crypto/cipher/cipher-selftest.h"
#include "crypto/cipher/cipher.h"
#include "crypto/cipher/xts-gnutls.h"
#include "tests/support/check.h"

#define ROOM_BYTES 192u /* around a run, for its address and for what must not be touched */
#define RUN_BYTES_MAX (70u * 4096)
#define CANARY 0xa7

/* ---- random numbers, the same in each run (splitmix64) ---- */

static uint64_t random_state = 1;

static uint64_t random_number(void)
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void random_bytes(uint8_t *out, size_t length_bytes)
{
    for (size_t i = 0; i < length_bytes; i++)
        out[i] = (uint8_t)random_number();
}

/* Up to 55 bits; half of them are a little below where the lower 32 bits, or all 55,
 * overflow. */
static uint64_t random_sector(void)
{
    uint64_t high = 1 + random_number() % (1u << 22), distance = random_number() % 600;

    switch (random_number() % 4) {
    case 0:
        return (high << 32) - distance;
    case 1:
        return (UINT64_C(1) << 55) - distance;
    default:
        return random_number() >> 9;
    }
}

/* ---- ciphers ---- */

static struct cipher_spec spec_of(unsigned key_bits)
{
    struct cipher_spec spec;

    EXPECT(cipher_spec_parse(&spec, "aes-xts-plain64", key_bits, NULL) == 0);
    return spec;
}

static struct cipher *make_cipher(const struct cipher_ops *ops, const uint8_t *key_bytes,
                                  unsigned key_bits, uint32_t sector_bytes)
{
    struct cipher_spec spec = spec_of(key_bits);
    struct cipher *cipher = NULL;
    struct secret *key = NULL;

    EXPECT(secret_copy(&key, key_bytes, key_bits / 8, NULL) == 0);
    EXPECT(ops->create(&cipher, &spec, key, sector_bytes, NULL) == 0);
    secret_free(key);
    return cipher;
}

/* Calls `check` with each implementation that can run here, each key size and each sector
 * size. */
static void with_each(void (*check)(const struct cipher_ops *ops, unsigned key_bits,
                                    uint32_t sector_bytes))
{
    const struct cipher_ops *ops;

    for (size_t i = 0; (ops = cipher_implementation_at(i)); i++) {
        for (unsigned key_bits = 256; key_bits <= 512; key_bits += 256) {
            struct cipher_spec spec = spec_of(key_bits);

            if (!ops->supports(&spec))
                continue;
            for (uint32_t sector_bytes = 512; sector_bytes <= 4096; sector_bytes *= 2)
                check(ops, key_bits, sector_bytes);
        }
    }
}

/* ---- against GnuTLS ---- */

struct trial {
    struct cipher *tried, *oracle;
    uint64_t sector;
    size_t length_bytes;
    size_t misalignment;
};

typedef void crypt_fn(struct cipher *cipher, uint64_t iv_sector, uint8_t *data,
                      size_t length_bytes);

static void expect_canaries(const uint8_t *room, const uint8_t *run, size_t length_bytes)
{
    const uint8_t *room_end = room + RUN_BYTES_MAX + ROOM_BYTES;

    for (const uint8_t *at = room; at < run; at++)
        EXPECT(*at == CANARY);
    for (const uint8_t *at = run + length_bytes; at < room_end; at++)
        EXPECT(*at == CANARY);
}

/* Random data through `there` of both, which must agree, and back. */
static void try_run(const struct trial *trial, crypt_fn *there, crypt_fn *back)
{
    static uint8_t before[RUN_BYTES_MAX], expected[RUN_BYTES_MAX];
    static uint8_t room[RUN_BYTES_MAX + ROOM_BYTES] __attribute__((aligned(64)));
    uint8_t *run = room + 64 + trial->misalignment;

    random_bytes(before, trial->length_bytes);
    memcpy(expected, before, trial->length_bytes);
    there(trial->oracle, trial->sector, expected, trial->length_bytes);
    memset(room, CANARY, sizeof room);
    memcpy(run, before, trial->length_bytes);
    there(trial->tried, trial->sector, run, trial->length_bytes);
    EXPECT(memcmp(run, expected, trial->length_bytes) == 0);
    expect_canaries(room, run, trial->length_bytes);
    back(trial->tried, trial->sector, run, trial->length_bytes);
    EXPECT(memcmp(run, before, trial->length_bytes) == 0);
    expect_canaries(room, run, trial->length_bytes);
}

static void try_sizes(const struct cipher_ops *ops, unsigned key_bits, uint32_t sector_bytes)
{
    for (size_t sectors = 1; sectors <= 70; sectors++) {
        uint8_t key[64];
        struct trial trial = {
            .sector = random_sector(),
            .length_bytes = sectors * sector_bytes,
            .misalignment = random_number() % 64,
        };

        random_bytes(key, sizeof key);
        trial.tried = make_cipher(ops, key, key_bits, sector_bytes);
        trial.oracle = make_cipher(&xts_gnutls_ops, key, key_bits, sector_bytes);
        try_run(&trial, cipher_encrypt, cipher_decrypt);
        try_run(&trial, cipher_decrypt, cipher_encrypt);
        cipher_destroy(trial.tried);
        cipher_destroy(trial.oracle);
    }
}

static void equal_to_gnutls(void)
{
    with_each(try_sizes);
}

/* One key for the whole, each address that a run of memory can have, and runs that end in the
 * middle of whatever a kernel takes at once. */
static void try_addresses(const struct cipher_ops *ops, unsigned key_bits, uint32_t sector_bytes)
{
    uint8_t key[64];
    struct trial trial = { 0 };

    random_bytes(key, sizeof key);
    trial.tried = make_cipher(ops, key, key_bits, sector_bytes);
    trial.oracle = make_cipher(&xts_gnutls_ops, key, key_bits, sector_bytes);
    for (trial.misalignment = 0; trial.misalignment < 64; trial.misalignment++) {
        size_t sectors_max = RUN_BYTES_MAX / sector_bytes;

        trial.sector = random_sector();
        trial.length_bytes = (1 + random_number() % sectors_max) * sector_bytes;
        try_run(&trial, cipher_encrypt, cipher_decrypt);
        try_run(&trial, cipher_decrypt, cipher_encrypt);
    }
    cipher_destroy(trial.tried);
    cipher_destroy(trial.oracle);
}

static void equal_at_each_address(void)
{
    with_each(try_addresses);
}

/* Where the numbers overflow, sector by sector. */
static void try_carries(const struct cipher_ops *ops, unsigned key_bits, uint32_t sector_bytes)
{
    static const uint64_t edges[] = { UINT64_C(1) << 31,    UINT64_C(1) << 32, UINT64_C(1) << 33,
                                      UINT64_C(0xff) << 32, UINT64_C(1) << 48, UINT64_C(1) << 55 };
    uint8_t key[64];
    struct trial trial = { .length_bytes = 20 * (size_t)sector_bytes };

    random_bytes(key, sizeof key);
    trial.tried = make_cipher(ops, key, key_bits, sector_bytes);
    trial.oracle = make_cipher(&xts_gnutls_ops, key, key_bits, sector_bytes);
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        for (uint64_t before = 0; before <= 20; before++) {
            trial.sector = edges[i] - before * (sector_bytes / 512);
            try_run(&trial, cipher_encrypt, cipher_decrypt);
        }
    }
    cipher_destroy(trial.tried);
    cipher_destroy(trial.oracle);
}

static void equal_where_numbers_overflow(void)
{
    with_each(try_carries);
}

/* ---- memory ---- */

/* Pages that may be used between two that may not. */
static uint8_t *map_between_guards(size_t length_bytes, size_t page_bytes)
{
    uint8_t *all =
        mmap(NULL, length_bytes + 2 * page_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    EXPECT(all != MAP_FAILED);
    EXPECT(mprotect(all + page_bytes, length_bytes, PROT_READ | PROT_WRITE) == 0);
    return all + page_bytes;
}

static void stay_inside(const struct cipher_ops *ops, unsigned key_bits, uint32_t sector_bytes)
{
    static const uint8_t key[64] = { 1, 2, 3 };
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE), mapped_bytes = 160 * page_bytes;
    uint8_t *pages = map_between_guards(mapped_bytes, page_bytes);
    struct cipher *cipher = make_cipher(ops, key, key_bits, sector_bytes);

    for (size_t sectors = 0; sectors <= 140; sectors++) {
        size_t length_bytes = sectors * sector_bytes;

        cipher_encrypt(cipher, 1, pages, length_bytes);
        cipher_decrypt(cipher, 1, pages, length_bytes);
        cipher_encrypt(cipher, 1, pages + mapped_bytes - length_bytes, length_bytes);
        cipher_decrypt(cipher, 1, pages + mapped_bytes - length_bytes, length_bytes);
    }
    cipher_destroy(cipher);
    for (size_t i = 0; i < mapped_bytes; i++)
        EXPECT(pages[i] == 0);
    EXPECT(munmap(pages - page_bytes, mapped_bytes + 2 * page_bytes) == 0);
}

static void no_byte_outside(void)
{
    with_each(stay_inside);
}

/* What one cipher keeps between calls must not reach another one. */
static void take_turns(const struct cipher_ops *ops, unsigned key_bits, uint32_t sector_bytes)
{
    struct cipher *ciphers[2];
    uint8_t once[3][8192], data[8192];
    uint8_t keys[2][64];

    random_bytes(&keys[0][0], sizeof keys);
    for (size_t i = 0; i < 2; i++) {
        ciphers[i] = make_cipher(ops, keys[i], key_bits, sector_bytes);
        memset(once[i], 5, sizeof once[i]);
        cipher_encrypt(ciphers[i], 77, once[i], sizeof once[i]);
    }
    for (size_t i = 0; i < 6; i++) {
        memset(data, 5, sizeof data);
        cipher_encrypt(ciphers[i % 2], 77, data, sizeof data);
        EXPECT(memcmp(data, once[i % 2], sizeof data) == 0);
        cipher_decrypt(ciphers[1 - i % 2], 1234, data, sizeof data);
    }
    cipher_destroy(ciphers[0]);
    cipher_destroy(ciphers[1]);
}

static void ciphers_side_by_side(void)
{
    with_each(take_turns);
}

/* ---- the choice ---- */

static void forced_by_name(void)
{
    struct cipher_spec spec = spec_of(512);
    const struct cipher_ops *ops;
    const char *name = NULL;

    for (size_t i = 0; (ops = cipher_implementation_at(i)); i++) {
        EXPECT(setenv("NBDCRYPT_CIPHER", ops->name, 1) == 0);
        if (ops->supports(&spec)) {
            EXPECT(cipher_choose(&name, &spec, NULL) == 0);
            EXPECT_TEXT(name, ops->name);
        } else {
            EXPECT(cipher_choose(&name, &spec, NULL) == -ENOTSUP);
        }
    }
    EXPECT(unsetenv("NBDCRYPT_CIPHER") == 0);
}

static void fastest_by_default(void)
{
    struct cipher_spec spec = spec_of(256);
    const char *name = NULL;
    size_t i = 0;

    EXPECT(unsetenv("NBDCRYPT_CIPHER") == 0);
    while (!cipher_implementation_at(i)->supports(&spec))
        i++;
    EXPECT(cipher_choose(&name, &spec, NULL) == 0);
    EXPECT_TEXT(name, cipher_implementation_at(i)->name);
    EXPECT(setenv("NBDCRYPT_CIPHER", "", 1) == 0);
    EXPECT(cipher_choose(&name, &spec, NULL) == 0);
    EXPECT_TEXT(name, cipher_implementation_at(i)->name);
    EXPECT(unsetenv("NBDCRYPT_CIPHER") == 0);
}

static void unknown_name(void)
{
    static const char head[] = "NBDCRYPT_CIPHER is 'rot13', but what this machine has for "
                               "aes-xts-plain64 with 512 bits is: ";
    struct cipher_spec spec = spec_of(512);
    struct cipher *cipher = NULL;
    struct secret *key = NULL;
    struct error err = { "" };

    EXPECT(setenv("NBDCRYPT_CIPHER", "rot13", 1) == 0);
    EXPECT(secret_create(&key, 64, NULL) == 0);
    EXPECT(cipher_create(&cipher, &spec, key, 512, &err) == -ENOTSUP);
    secret_free(key);
    EXPECT(strncmp(err.text, head, strlen(head)) == 0);
    EXPECT_TEXT(err.text + strlen(err.text) - strlen("gcrypt"), "gcrypt");
    EXPECT(unsetenv("NBDCRYPT_CIPHER") == 0);
}

/* ---- the self-test ---- */

static void each_passes_its_test(void)
{
    const struct cipher_ops *ops;
    struct error err = { "" };

    for (size_t i = 0; (ops = cipher_implementation_at(i)); i++)
        for (int algorithm = 0; algorithm < CIPHER_ALGORITHMS; algorithm++)
            EXPECT(cipher_selftest(ops, (enum cipher_algorithm)algorithm, &err) == 0);
    EXPECT(cipher_left_out() == NULL);
}

/* GnuTLS with one bit wrong in the last block of runs of this many bytes. */
static size_t broken_bytes;

static void break_run(uint8_t *data, size_t length_bytes)
{
    if (length_bytes == broken_bytes)
        data[length_bytes - 1] ^= 0x80;
}

static void broken_encrypt(struct cipher *cipher, uint64_t iv_sector, uint8_t *data,
                           size_t length_bytes)
{
    xts_gnutls_ops.encrypt(cipher, iv_sector, data, length_bytes);
    break_run(data, length_bytes);
}

static void broken_decrypt(struct cipher *cipher, uint64_t iv_sector, uint8_t *data,
                           size_t length_bytes)
{
    xts_gnutls_ops.decrypt(cipher, iv_sector, data, length_bytes);
    break_run(data, length_bytes);
}

static void expect_found(const struct cipher_ops *ops, size_t length_bytes, const char *message)
{
    struct error err = { "" };

    broken_bytes = length_bytes;
    EXPECT(cipher_selftest(ops, CIPHER_AES, &err) == -EIO);
    EXPECT_TEXT(err.text, message);
}

static void a_wrong_bit_is_found(void)
{
    struct cipher_ops encrypts_wrongly = xts_gnutls_ops, decrypts_wrongly = xts_gnutls_ops;

    encrypts_wrongly.encrypt = broken_encrypt;
    decrypts_wrongly.decrypt = broken_decrypt;
    expect_found(&encrypts_wrongly, 512,
                 "it encrypts 512 bytes in sectors of 512 wrongly with aes-xts-plain64 and "
                 "a key of 256 bits");
    expect_found(&decrypts_wrongly, 131 * 512,
                 "it decrypts 67072 bytes in sectors of 512 wrongly with aes-xts-plain64 and "
                 "a key of 256 bits");
    expect_found(&encrypts_wrongly, 17 * 4096,
                 "it encrypts 69632 bytes in sectors of 4096 wrongly with aes-xts-plain64 and "
                 "a key of 256 bits");
    expect_found(&decrypts_wrongly, 9 * 2048,
                 "it decrypts 18432 bytes in sectors of 2048 wrongly with aes-xts-plain64 and "
                 "a key of 256 bits");
}

static const struct check checks[] = {
    { "each implementation passes its self-test", each_passes_its_test },
    { "the self-test finds a wrong bit", a_wrong_bit_is_found },
    { "runs of 1 to 70 sectors are equal to GnuTLS's, and nothing around them is touched",
      equal_to_gnutls },
    { "runs at each misalignment are equal to GnuTLS's", equal_at_each_address },
    { "runs in which the sector number overflows 32 bits are equal to GnuTLS's",
      equal_where_numbers_overflow },
    { "no byte outside of a run is read or written", no_byte_outside },
    { "two ciphers that take turns do not disturb each other", ciphers_side_by_side },
    { "NBDCRYPT_CIPHER names the implementation", forced_by_name },
    { "without it the fastest is taken", fastest_by_default },
    { "an unknown name is refused, and the message lists what there is", unknown_name },
};

int main(int argc, char **argv)
{
    struct cipher_spec spec = spec_of(512);
    const struct cipher_ops *ops;

    EXPECT(unsetenv("NBDCRYPT_CIPHER") == 0);
    printf("this machine runs:");
    for (size_t i = 0; (ops = cipher_implementation_at(i)); i++)
        if (ops->supports(&spec))
            printf(" %s", ops->name);
    printf("\n");
    return CHECKS_RUN(checks, argc, argv);
}
