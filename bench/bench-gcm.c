/* How fast the implementations of AES-GCM are on this machine, one core, data in the cache.
 *
 *     make bench-gcm          or     bench/bench-gcm [ROUNDS]
 *
 * Texts have the lengths of records of TLS.  The implementations and GnuTLS take turns, ROUNDS (15)
 * times; the medians are printed, and the ratio to GnuTLS.  Time is the thread's CPU time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/crypto.h>

#include "bench/bench-timing.h"
#include "crypto/gcm/gcm-choose.h"

#define CONTESTANTS_MAX 4u
#define ROUNDS_MAX 1000u
#define BYTES_PER_TURN (8u * 1024 * 1024)

static uint8_t plain[16385], sealed[16385 + GCM_TAG_BYTES];
static const uint8_t key[32] = { 1, 2, 3 }, nonce[GCM_NONCE_BYTES] = { 4, 5 },
                     aad[5] = { 23, 3, 3 };

static double ours(const struct gcm_ops *ops, size_t key_bytes, size_t length_bytes, bool encrypt)
{
    static struct gcm gcm;
    struct gcm_text text = { nonce, aad, sizeof aad, plain, length_bytes, GCM_NO_TRAILER, sealed };
    size_t done = 0;
    bool good = true;

    gcm_init(&gcm, ops, key, key_bytes);
    gcm_seal(&gcm, &text);
    if (!encrypt) {
        text.in = sealed;
        text.out = plain;
    }
    double start = bench_cpu_ns();
    for (; done < BYTES_PER_TURN; done += length_bytes) {
        if (encrypt)
            gcm_seal(&gcm, &text);
        else
            good = good && gcm_open(&gcm, &text);
    }
    double elapsed = bench_cpu_ns() - start;
    if (!good)
        abort();
    return elapsed / (double)done * 1024;
}

static double gnutls(size_t key_bytes, size_t length_bytes, bool encrypt)
{
    gnutls_datum_t datum = { (unsigned char *)(uintptr_t)key, (unsigned)key_bytes };
    gnutls_aead_cipher_hd_t cipher;
    size_t done = 0, sealed_bytes = sizeof sealed, plain_bytes;
    int result = 0;

    if (gnutls_aead_cipher_init(
            &cipher, key_bytes == 16 ? GNUTLS_CIPHER_AES_128_GCM : GNUTLS_CIPHER_AES_256_GCM,
            &datum) < 0)
        abort();
    result |= gnutls_aead_cipher_encrypt(cipher, nonce, sizeof nonce, aad, sizeof aad,
                                         GCM_TAG_BYTES, plain, length_bytes, sealed, &sealed_bytes);
    double start = bench_cpu_ns();
    for (; done < BYTES_PER_TURN; done += length_bytes) {
        sealed_bytes = length_bytes + GCM_TAG_BYTES;
        plain_bytes = length_bytes;
        result |= encrypt ? gnutls_aead_cipher_encrypt(cipher, nonce, sizeof nonce, aad, sizeof aad,
                                                       GCM_TAG_BYTES, plain, length_bytes, sealed,
                                                       &sealed_bytes)
                          : gnutls_aead_cipher_decrypt(cipher, nonce, sizeof nonce, aad, sizeof aad,
                                                       GCM_TAG_BYTES, sealed, sealed_bytes, plain,
                                                       &plain_bytes);
    }
    double elapsed = bench_cpu_ns() - start;
    if (result != 0)
        abort();
    gnutls_aead_cipher_deinit(cipher);
    return elapsed / (double)done * 1024;
}

static void run(size_t key_bytes, size_t length_bytes, bool encrypt, size_t rounds)
{
    static double ns[CONTESTANTS_MAX][ROUNDS_MAX];
    double medians[CONTESTANTS_MAX];
    const struct gcm_ops *ops;
    size_t i;

    for (size_t round = 0; round < rounds; round++) {
        ns[0][round] = gnutls(key_bytes, length_bytes, encrypt);
        for (i = 0; (ops = gcm_implementation_at(i)) != NULL && i + 1 < CONTESTANTS_MAX; i++)
            if (ops->supports())
                ns[i + 1][round] = ours(ops, key_bytes, length_bytes, encrypt);
    }
    for (i = 0; i < CONTESTANTS_MAX; i++)
        medians[i] = bench_median(ns[i], rounds);
    printf("%8zu %6zu  %s   %6.1f", key_bytes * 8, length_bytes, encrypt ? "encrypt" : "decrypt",
           medians[0]);
    for (i = 0; (ops = gcm_implementation_at(i)) != NULL && i + 1 < CONTESTANTS_MAX; i++)
        if (ops->supports())
            printf("   %6.1f (%5.2f)", medians[i + 1], medians[0] / medians[i + 1]);
    printf("\n");
}

int main(int argc, char **argv)
{
    static const size_t lengths_bytes[] = { 29, 4113, 16385 };
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 15;
    const struct gcm_ops *ops;

    if (argc > 2 || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "bench-gcm: usage: bench-gcm [ROUNDS], at most 1000\n");
        return EXIT_FAILURE;
    }
    printf("ns per KiB (times faster than GnuTLS)\nkey bits length            gnutls");
    for (size_t i = 0; (ops = gcm_implementation_at(i)) != NULL; i++)
        printf("   %14s", ops->name);
    printf("\n");
    for (size_t key_bytes = 16; key_bytes <= 32; key_bytes += 16)
        for (size_t i = 0; i < sizeof lengths_bytes / sizeof lengths_bytes[0]; i++)
            for (int encrypt = 1; encrypt >= 0; encrypt--)
                run(key_bytes, lengths_bytes[i], encrypt, rounds);
    return EXIT_SUCCESS;
}
