/* AES-XTS against the vectors of IEEE Std 1619-2018, Annex B, and the numbering of sectors: every
 * implementation that this machine can run. */
#include <stdio.h>

#include "crypto/cipher/cipher.h"
#include "tests/support/check.h"

#define KEY_E "2718281828459045235360287471352662497757247093699959574966967627"
#define KEY_PI "3141592653589793238462643383279502884197169399375105820974944592"
#define KEY_E_HALF "27182818284590452353602874713526"
#define KEY_PI_HALF "31415926535897932384626433832795"
#define ZEROS "00000000000000000000000000000000"
#define ELEVENS "11111111111111111111111111111111"
#define TWOS "22222222222222222222222222222222"
#define FALLING "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0"

#define SECTOR_BYTES 512u

/* The plaintext is one byte over and over, or (COUNTING) 00 to ff twice.  The vectors with 32
 * bytes are the start of a longer sector: in XTS a block depends on nothing behind it. */
#define COUNTING -1

struct vector {
    unsigned number; /* in Annex B */
    const char *key;
    uint64_t sector;
    int plain;
    const char *head; /* what the ciphertext begins with */
    const char *tail; /* and ends with; "" when the vector has 32 bytes */
};

#define VECTOR_4                                                       \
    "27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c" \
    "c78cf7f5e543445f8333d8fa7f56000005279fa5d8b5e4ad40e736ddb4d35412" \
    "328063fd2aab53e5ea1e0a9f332500a5df9487d07a5c92cc512c8866c7e860ce" \
    "93fdf166a24912b422976146ae20ce846bb7dc9ba94a767aaef20c0d61ad0265" \
    "5ea92dc4c4e41a8952c651d33174be51a10c421110e6d81588ede82103a252d8" \
    "a750e8768defffed9122810aaeb99f9172af82b604dc4b8e51bcb08235a6f434" \
    "1332e4ca60482a4ba1a03b3e65008fc5da76b70bf1690db4eae29c5f1badd03c" \
    "5ccf2a55d705ddcd86d449511ceb7ec30bf12b1fa35b913f9f747a8afd1b130e" \
    "94bff94effd01a91735ca1726acd0b197c4e5b03393697e126826fb6bbde8ecc" \
    "1e08298516e2c9ed03ff3c1b7860f6de76d4cecd94c8119855ef5297ca67e9f3" \
    "e7ff72b1e99785ca0a7e7720c5b36dc6d72cac9574c8cbbc2f801e23e56fd344" \
    "b07f22154beba0f08ce8891e643ed995c94d9a69c9f1b5f499027a78572aeebd" \
    "74d20cc39881c213ee770b1010e4bea718846977ae119f7a023ab58cca0ad752" \
    "afe656bb3c17256a9f6e9bf19fdd5a38fc82bbe872c5539edb609ef4f79c203e" \
    "bb140f2e583cb2ad15b4aa5b655016a8449277dbd477ef2c8d6c017db738b18d" \
    "eb4a427d1923ce3ff262735779a418f20a282df920147beabe421ee5319d0568"

#define VECTOR_10                                                      \
    "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b" \
    "5d31e276f8fe4a8d66b317f9ac683f44680a86ac35adfc3345befecb4bb188fd" \
    "5776926c49a3095eb108fd1098baec70aaa66999a72a82f27d848b21d4a741b0" \
    "c5cd4d5fff9dac89aeba122961d03a757123e9870f8acf1000020887891429ca" \
    "2a3e7a7d7df7b10355165c8b9a6d0a7de8b062c4500dc4cd120c0f7418dae3d0" \
    "b5781c34803fa75421c790dfe1de1834f280d7667b327f6c8cd7557e12ac3a0f" \
    "93ec05c52e0493ef31a12d3d9260f79a289d6a379bc70c50841473d1a8cc81ec" \
    "583e9645e07b8d9670655ba5bbcfecc6dc3966380ad8fecb17b6ba02469a020a" \
    "84e18e8f84252070c13e9f1f289be54fbc481457778f616015e1327a02b140f1" \
    "505eb309326d68378f8374595c849d84f4c333ec4423885143cb47bd71c5edae" \
    "9be69a2ffeceb1bec9de244fbe15992b11b77c040f12bd8f6a975a44a0f90c29" \
    "a9abc3d4d893927284c58754cce294529f8614dcd2aba991925fedc4ae74ffac" \
    "6e333b93eb4aff0479da9a410e4450e0dd7ae4c6e2910900575da401fc07059f" \
    "645e8b7e9bfdef33943054ff84011493c27b3429eaedb4ed5376441a77ed4385" \
    "1ad77f16f541dfd269d50d6a5f14fb0aab1cbb4c1550be97f7ab4066193c4caa" \
    "773dad38014bd2092fa755c824bb5e54c4f36ffda9fcea70b9c6e693e148c151"

static const struct vector vectors[] = {
    { 1, ZEROS ZEROS, 0, 0, "917cf69ebd68b2ec9b9fe9a3eadda692cd43d2f59598ed858c02c2652fbf922e",
      "" },
    { 2, ELEVENS TWOS, 0x3333333333, 0x44,
      "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0", "" },
    { 3, FALLING TWOS, 0x3333333333, 0x44,
      "af85336b597afc1a900b2eb21ec949d292df4c047e0b21532186a5971a227a89", "" },
    { 4, KEY_E_HALF KEY_PI_HALF, 0, COUNTING, VECTOR_4, "" },
    { 10, KEY_E KEY_PI, 0xff, COUNTING, VECTOR_10, "" },
    { 11, KEY_E KEY_PI, 0xffff, COUNTING,
      "77a31251618a15e6b92d1d66dffe7b50b50bad552305ba0217a610688eff7e11",
      "54fbff89eeaeea791f4a7ab1f9868294a4f9e27b42af8100cb9d59cef9645803" },
    { 12, KEY_E KEY_PI, 0xffffff, COUNTING,
      "e387aaa58ba483afa7e8eb469778317ecf4cf573aa9d4eac23f2cdf914e4e200",
      "ed242c8900dd1fa965bc950dfce09b132263a1eef52dd6888c309f5a7d712826" },
    { 13, KEY_E KEY_PI, 0xffffffff, COUNTING,
      "bf53d2dade78e822a4d949a9bc6766b01b06a8ef70d26748c6a7fc36d80ae4c5",
      "f6516139420fcff3b7361d86322c4bd84c82f335abb152c4a93411373aaa8220" },
    { 14, KEY_E KEY_PI, 0xffffffffff, COUNTING,
      "64497e5a831e4a932c09be3e5393376daa599548b816031d224bbf50a818ed23",
      "6975be5e0b4efce51cd3e70c25a1fbbbd609d273ad5b0d59631c531f6a0a57b9" },
};

static uint8_t hex_digit(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Returns the number of bytes. */
static size_t from_hex(uint8_t *out, const char *hex)
{
    size_t length = strlen(hex) / 2;

    for (size_t i = 0; i < length; i++)
        out[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    return length;
}

/* The implementation that is tested. */
static const struct cipher_ops *tested;

static struct cipher *make_cipher(const char *key_hex, uint32_t sector_bytes)
{
    struct cipher_spec spec;
    struct cipher *cipher = NULL;
    struct secret *key = NULL;
    struct error err = { "" };
    uint8_t bytes[64];
    size_t length = from_hex(bytes, key_hex);

    EXPECT(secret_copy(&key, bytes, length, &err) == 0);
    EXPECT(cipher_spec_parse(&spec, "aes-xts-plain64", (unsigned)length * 8, &err) == 0);
    EXPECT(tested->create(&cipher, &spec, key, sector_bytes, &err) == 0);
    EXPECT_TEXT(cipher_implementation(cipher), tested->name);
    secret_free(key); /* the cipher does not need it any more */
    return cipher;
}

static void fill(uint8_t *data, size_t length, int plain)
{
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)(plain == COUNTING ? (int)(i & 0xff) : plain);
}

static void check_vector(const struct vector *vector)
{
    struct cipher *cipher = make_cipher(vector->key, SECTOR_BYTES);
    uint8_t plain[SECTOR_BYTES], data[SECTOR_BYTES], expected[SECTOR_BYTES];
    size_t length;

    fill(plain, sizeof plain, vector->plain);
    memcpy(data, plain, sizeof data);
    cipher_encrypt(cipher, vector->sector, data, sizeof data);
    length = from_hex(expected, vector->head);
    EXPECT(!memcmp(data, expected, length));
    length = from_hex(expected, vector->tail);
    EXPECT(!memcmp(data + sizeof data - length, expected, length));
    cipher_decrypt(cipher, vector->sector, data, sizeof data);
    EXPECT(!memcmp(data, plain, sizeof data));
    cipher_destroy(cipher);
    printf("%s: vector %u: ok\n", tested->name, vector->number);
}

/* A run is its sectors one by one, whose numbers step by sector_bytes / 512. */
static void check_stepping(uint32_t sector_bytes, uint64_t first)
{
    struct cipher *cipher = make_cipher(KEY_E KEY_PI, sector_bytes);
    uint8_t run[6 * 4096 + 1], single[4096];
    uint8_t *odd = run + 1; /* any address will do */

    fill(odd, 6 * (size_t)sector_bytes, COUNTING);
    cipher_encrypt(cipher, first, odd, 6 * (size_t)sector_bytes);
    for (unsigned i = 0; i < 6; i++) {
        fill(single, sector_bytes, COUNTING);
        cipher_encrypt(cipher, first + i * (sector_bytes / 512), single, sector_bytes);
        EXPECT(!memcmp(odd + i * (size_t)sector_bytes, single, sector_bytes));
    }
    cipher_decrypt(cipher, first, odd, 6 * (size_t)sector_bytes);
    for (size_t i = 0; i < 6 * (size_t)sector_bytes; i++)
        EXPECT(odd[i] == (uint8_t)(i % sector_bytes));
    cipher_destroy(cipher);
}

/* A larger sector is one data unit: it begins like the small one of the same number, and goes on
 * differently from the next small one. */
static void check_unit(void)
{
    struct cipher *small = make_cipher(KEY_E KEY_PI, 512);
    struct cipher *large = make_cipher(KEY_E KEY_PI, 4096);
    uint8_t a[4096], b[4096];

    fill(a, sizeof a, COUNTING);
    fill(b, sizeof b, COUNTING);
    cipher_encrypt(small, 8, a, sizeof a);
    cipher_encrypt(large, 8, b, sizeof b);
    EXPECT(!memcmp(a, b, 512));
    EXPECT(memcmp(a + 512, b + 512, 512) != 0);
    cipher_destroy(small);
    cipher_destroy(large);
}

static void expect_refused(const char *name, unsigned key_bits, const char *message)
{
    struct cipher_spec spec;
    struct error err = { "" };

    EXPECT(cipher_spec_parse(&spec, name, key_bits, &err) < 0);
    EXPECT_TEXT(err.text, message);
}

#define SUPPORTED                                                                            \
    "supported: aes, serpent, twofish and camellia, in the modes xts and cbc, with the IVs " \
    "plain64, plain, plain64be and essiv:sha256"

static void check_refusals(void)
{
    expect_refused("cipher_null-ecb", 256,
                   "cipher 'cipher_null-ecb' leaves the data unencrypted; null ciphers are always "
                   "refused");
    expect_refused("aes-lrw-benbi", 256, "cipher 'aes-lrw-benbi' is not supported (" SUPPORTED ")");
    expect_refused("aes-xts-plain64x", 512,
                   "cipher 'aes-xts-plain64x' is not supported (" SUPPORTED ")");
    expect_refused("aes", 256, "cipher 'aes' is not supported (" SUPPORTED ")");
    expect_refused("aes-xts-plain64", 128,
                   "cipher 'aes-xts-plain64' does not take a key of 128 bits (supported: 256, 384 "
                   "and 512)");
    expect_refused("aes-cbc-plain64", 512,
                   "cipher 'aes-cbc-plain64' does not take a key of 512 bits (supported: 128, 192 "
                   "and 256)");
}

static void check_implementation(void)
{
    static const uint64_t firsts[] = { 0, 7, 0xfffffff8, UINT64_C(1) << 32, UINT64_C(1) << 40 };

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
        check_vector(&vectors[i]);
    for (uint32_t sector_bytes = 512; sector_bytes <= 4096; sector_bytes *= 2)
        for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++)
            check_stepping(sector_bytes, firsts[i]);
    check_unit();
}

int main(void)
{
    struct cipher_spec spec;

    EXPECT(cipher_spec_parse(&spec, "aes-xts-plain64", 512, NULL) == 0);
    for (size_t i = 0; (tested = cipher_implementation_at(i)); i++) {
        if (tested->supports(&spec))
            check_implementation();
        else
            printf("%s: not on this machine\n", tested->name);
    }
    check_refusals();
    return 0;
}
