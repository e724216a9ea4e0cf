/* How fast ciphers, and the implementations of AES-XTS, are on this machine, one core, data in the
 * cache.
 *
 *     make bench-xts          or     bench/bench-xts [ROUNDS]
 *
 * For each combination the implementations take turns, ROUNDS (15) times, a few milliseconds each,
 * so that a slow moment of the machine hits all; the medians are printed, and the ratio to GnuTLS.
 * Time is the thread's CPU time, which leaves out what other processes took.
 *
 * The second table is of the other ciphers, each by the implementation that a volume gets.
 *
 * The last table is what the AES units give when nothing but rounds is asked of them: the limit for
 * any implementation on vectors of that width, without the tweaks. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench-timing.h"
#include "crypto/cipher/cipher.h"
#include "crypto/cpu-features.h"

#define IMPLEMENTATIONS_MAX 8u
#define ROUNDS_MAX 1000u
#define MEASURE_NS 2000000.0
#define RUN_BYTES_MAX (256u * 1024)
#define BYTES_BETWEEN_LOOKS (2u * 1024 * 1024) /* looking at the clock is a system call */

struct job {
    const char *cipher;
    unsigned key_bits;
    uint32_t sector_bytes;
    size_t run_bytes;
    bool encrypt;
};

struct contestant {
    struct cipher *cipher;
    double gb_per_s[ROUNDS_MAX];
};

static uint8_t data[RUN_BYTES_MAX] __attribute__((aligned(4096)));

static void fail(const char *what)
{
    fprintf(stderr, "bench-xts: %s\n", what);
    exit(EXIT_FAILURE);
}

/* ---- implementations ---- */

static struct cipher *make_cipher(const struct cipher_ops *ops, const struct job *job)
{
    struct cipher_spec spec;
    struct cipher *cipher = NULL;
    struct secret *key = NULL;
    struct error err = { "" };

    if (cipher_spec_parse(&spec, job->cipher, job->key_bits, &err) < 0)
        fail(err.text);
    if (!ops->supports(&spec))
        return NULL;
    if (secret_create(&key, job->key_bits / 8, &err) < 0)
        fail(err.text);
    for (size_t i = 0; i < key->length_bytes; i++)
        key->data[i] = (uint8_t)(i * 37 + 11);
    if (ops->create(&cipher, &spec, key, job->sector_bytes, &err) < 0)
        fail(err.text);
    secret_free(key);
    return cipher;
}

static double measure(struct cipher *cipher, const struct job *job)
{
    uint64_t sector = 0;
    double start = bench_cpu_ns(), elapsed;
    size_t bytes = 0;

    do {
        size_t until = bytes + BYTES_BETWEEN_LOOKS;

        for (; bytes < until; sector += job->run_bytes / 512, bytes += job->run_bytes) {
            if (job->encrypt)
                cipher_encrypt(cipher, sector, data, job->run_bytes);
            else
                cipher_decrypt(cipher, sector, data, job->run_bytes);
        }
        elapsed = bench_cpu_ns() - start;
    } while (elapsed < MEASURE_NS);
    return (double)bytes / elapsed;
}

static void run_job(const struct job *job, size_t rounds)
{
    static struct contestant contestants[IMPLEMENTATIONS_MAX];
    double medians[IMPLEMENTATIONS_MAX] = { 0 }, gnutls = 0;
    const struct cipher_ops *ops;
    size_t count;

    for (count = 0; (ops = cipher_implementation_at(count)) != NULL && count < IMPLEMENTATIONS_MAX;
         count++)
        contestants[count].cipher = make_cipher(ops, job);
    for (size_t round = 0; round < rounds; round++)
        for (size_t i = 0; i < count; i++)
            if (contestants[i].cipher)
                contestants[i].gb_per_s[round] = measure(contestants[i].cipher, job);
    for (size_t i = 0; i < count; i++) {
        if (contestants[i].cipher == NULL)
            continue;
        medians[i] = bench_median(contestants[i].gb_per_s, rounds);
        if (strcmp(cipher_implementation(contestants[i].cipher), "gnutls") == 0)
            gnutls = medians[i];
    }
    printf("%8u %7u %4zu KiB  %s", job->key_bits, job->sector_bytes, job->run_bytes / 1024,
           job->encrypt ? "encrypt" : "decrypt");
    for (size_t i = 0; i < count; i++) {
        if (contestants[i].cipher)
            printf("   %7.2f (%4.2f)", medians[i], medians[i] / gnutls);
        else
            printf("   %7s %6s", "-", "");
        cipher_destroy(contestants[i].cipher);
    }
    printf("\n");
}

static void run_jobs(size_t rounds)
{
    static const size_t runs_bytes[] = { 4096, 128 * 1024, RUN_BYTES_MAX };
    const struct cipher_ops *ops;

    printf("GB/s (times GnuTLS)\n%8s %7s %8s  %-7s", "key bits", "sector", "run", "");
    for (size_t i = 0; (ops = cipher_implementation_at(i)); i++)
        printf("   %14s", ops->name);
    printf("\n");
    for (unsigned key_bits = 256; key_bits <= 512; key_bits *= 2)
        for (uint32_t sector_bytes = 512; sector_bytes <= 4096; sector_bytes *= 8)
            for (size_t i = 0; i < sizeof runs_bytes / sizeof runs_bytes[0]; i++)
                for (int encrypt = 1; encrypt >= 0; encrypt--)
                    run_job(&(struct job){ "aes-xts-plain64", key_bits, sector_bytes, runs_bytes[i],
                                           encrypt },
                            rounds);
}

/* ---- other ciphers ---- */

/* The one that cipher_create() would take; ns per KiB. */
static double ns_per_kib(const struct job *job, size_t rounds)
{
    double values[ROUNDS_MAX];
    const struct cipher_ops *ops;
    struct cipher *cipher = NULL;

    for (size_t i = 0; cipher == NULL && (ops = cipher_implementation_at(i)) != NULL; i++)
        cipher = make_cipher(ops, job);
    if (cipher == NULL)
        return 0;
    for (size_t round = 0; round < rounds; round++)
        values[round] = 1024 / measure(cipher, job);
    cipher_destroy(cipher);
    return bench_median(values, rounds);
}

static void run_others(size_t rounds)
{
    static const struct {
        const char *cipher;
        unsigned key_bits;
    } others[] = {
        { "aes-xts-plain64", 512 },           { "aes-cbc-essiv:sha256", 256 },
        { "aes-cbc-plain64", 256 },           { "serpent-xts-plain64", 512 },
        { "serpent-cbc-essiv:sha256", 256 },  { "twofish-xts-plain64", 512 },
        { "twofish-cbc-essiv:sha256", 256 },  { "camellia-xts-plain64", 512 },
        { "camellia-cbc-essiv:sha256", 256 },
    };
    static const size_t runs_bytes[] = { 4096, 128 * 1024 };

    printf("\nns per KiB: encrypt, decrypt\n%-26s %8s %7s", "cipher", "key bits", "sector");
    for (size_t run = 0; run < 2; run++)
        printf("   %9zu KiB", runs_bytes[run] / 1024);
    printf("\n");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        for (uint32_t sector_bytes = 512; sector_bytes <= 4096; sector_bytes *= 8) {
            struct job job = { others[i].cipher, others[i].key_bits, sector_bytes, 0, false };

            printf("%-26s %8u %7u", job.cipher, job.key_bits, sector_bytes);
            for (size_t run = 0; run < 2; run++) {
                job.run_bytes = runs_bytes[run];
                job.encrypt = true;
                printf("   %6.0f", ns_per_kib(&job, rounds));
                job.encrypt = false;
                printf(" %6.0f", ns_per_kib(&job, rounds));
            }
            printf("\n");
        }
}

/* ---- the limit ---- */

#if defined(__x86_64__)

#define TIMES 20000u

#define ROUND_ON(r, n) "vaesenc %%" r "8, %%" r #n ", %%" r #n "\n"
/* Eight rounds that do not wait for each other, on registers named xmm, ymm or zmm. */
#define EIGHT_ROUNDS_ON(r)                                                                      \
    __asm__ volatile(ROUND_ON(r, 0) ROUND_ON(r, 1) ROUND_ON(r, 2) ROUND_ON(r, 3) ROUND_ON(r, 4) \
                         ROUND_ON(r, 5) ROUND_ON(r, 6) ROUND_ON(r, 7)::                         \
                             : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7")

/* Bytes per ns that pass one round. */
static double limit_128(void)
{
    double start = bench_cpu_ns();

    for (unsigned i = 0; i < TIMES; i++)
        EIGHT_ROUNDS_ON("xmm");
    return TIMES * 8.0 * 16 / (bench_cpu_ns() - start);
}

static double limit_256(void)
{
    double start = bench_cpu_ns();

    for (unsigned i = 0; i < TIMES; i++)
        EIGHT_ROUNDS_ON("ymm");
    __asm__ volatile("vzeroupper");
    return TIMES * 8.0 * 32 / (bench_cpu_ns() - start);
}

static double limit_512(void)
{
    double start = bench_cpu_ns();

    for (unsigned i = 0; i < TIMES; i++)
        EIGHT_ROUNDS_ON("zmm");
    __asm__ volatile("vzeroupper");
    return TIMES * 8.0 * 64 / (bench_cpu_ns() - start);
}

static void print_limit(const char *name, double (*limit)(void), size_t rounds)
{
    double bytes_per_round[ROUNDS_MAX], middle;

    for (size_t i = 0; i < rounds; i++)
        bytes_per_round[i] = limit();
    middle = bench_median(bytes_per_round, rounds);
    printf("%-8s   %7.2f   %7.2f\n", name, middle / 10, middle / 14);
}

static void print_limits(size_t rounds)
{
    printf("\nLimit of the AES units, GB/s\n%-8s   %7s   %7s\n", "", "AES-128", "AES-256");
    if (!cpu_has_vaes_avx2())
        return;
    print_limit("128 bits", limit_128, rounds);
    print_limit("256 bits", limit_256, rounds);
    if (cpu_has_vaes_avx512())
        print_limit("512 bits", limit_512, rounds);
}

#else

static void print_limits(size_t rounds)
{
    (void)rounds;
}

#endif

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 15;

    if (argc > 2 || rounds < 1 || rounds > ROUNDS_MAX)
        fail("usage: bench-xts [ROUNDS], at most 1000");
    run_jobs(rounds);
    run_others(rounds);
    print_limits(rounds);
    return EXIT_SUCCESS;
}
