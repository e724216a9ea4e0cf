/* The key derivation of a new keyslot: see luks-pbkdf.h. */
#include "crypto/luks/luks-pbkdf.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "crypto/luks/luks-policy.h"

#define PBKDF_TIME_MS 2000u         /* cryptsetup's default for opening a volume */
#define PBKDF2_ITERATIONS_MIN 1000u /* what libcryptsetup accepts */
#define ARGON2_PASSES_MIN 4u
#define ARGON2_MEMORY_KIB_MIN 32u
#define ARGON2_MEMORY_KIB_DEFAULT (1024u * 1024u)

static bool is_argon2(const char *name)
{
    return strcmp(name, "argon2id") == 0 || strcmp(name, "argon2i") == 0;
}

static const char *name_of(const struct luks_pbkdf *pbkdf, enum luks_type type)
{
    if (pbkdf->name)
        return pbkdf->name;
    return type == LUKS_TYPE_1 ? "pbkdf2" : "argon2id";
}

static int check_argon2(const struct luks_pbkdf *pbkdf, enum luks_type type, struct error *err)
{
    const char *name = name_of(pbkdf, type);

    if (type == LUKS_TYPE_1)
        return error_set(err, -EINVAL, "LUKS1 has no %s; its keyslots use pbkdf2", name);
    if (pbkdf->iterations != 0 && pbkdf->iterations < ARGON2_PASSES_MIN)
        return error_set(err, -EINVAL, "%s takes at least %u iterations", name, ARGON2_PASSES_MIN);
    if (pbkdf->memory_kib != 0 && pbkdf->memory_kib < ARGON2_MEMORY_KIB_MIN)
        return error_set(err, -EINVAL, "%s takes at least %u KiB of memory", name,
                         ARGON2_MEMORY_KIB_MIN);
    /* A volume that luks_load() would refuse must not be made. */
    return luks_policy_argon2(pbkdf->iterations ? pbkdf->iterations : 1,
                              pbkdf->memory_kib ? pbkdf->memory_kib : ARGON2_MEMORY_KIB_DEFAULT,
                              pbkdf->parallel ? pbkdf->parallel : 1, err);
}

int luks_pbkdf_check(const struct luks_pbkdf *pbkdf, enum luks_type type, struct error *err)
{
    const char *name = name_of(pbkdf, type);

    if (pbkdf->hash != NULL && luks_policy_hash(pbkdf->hash, err) < 0)
        return -EINVAL;
    if (is_argon2(name))
        return check_argon2(pbkdf, type, err);
    if (strcmp(name, "pbkdf2") != 0)
        return error_set(err, -EINVAL,
                         "key derivation '%s' is not supported (supported: argon2id, argon2i, "
                         "pbkdf2)",
                         name);
    if (pbkdf->memory_kib != 0)
        return error_set(err, -EINVAL, "pbkdf2 has no memory cost; that is for argon2id");
    if (pbkdf->parallel != 0)
        return error_set(err, -EINVAL, "pbkdf2 has no lanes; they are for argon2id");
    if (pbkdf->iterations == 0)
        return 0;
    if (pbkdf->iterations < PBKDF2_ITERATIONS_MIN)
        return error_set(err, -EINVAL, "pbkdf2 takes at least %u iterations",
                         PBKDF2_ITERATIONS_MIN);
    return luks_policy_pbkdf2(pbkdf->iterations, err);
}

/* Without iterations, they are measured (and memory is what is allowed at most). */
int luks_pbkdf_set(struct cryptsetup_library *library, const struct luks_pbkdf *pbkdf,
                   enum luks_type type, struct error *err)
{
    const char *name = name_of(pbkdf, type);
    struct crypt_pbkdf_type told = {
        .type = name,
        .hash = pbkdf->hash != NULL ? pbkdf->hash : "sha256",
        .time_ms = pbkdf->iterations ? 0 : PBKDF_TIME_MS,
        .iterations = pbkdf->iterations,
        .flags = pbkdf->iterations ? CRYPT_PBKDF_NO_BENCHMARK : 0,
    };
    int result;

    if (is_argon2(name)) {
        told.max_memory_kb = pbkdf->memory_kib ? pbkdf->memory_kib : ARGON2_MEMORY_KIB_DEFAULT;
        /* Lowered to the number of CPUs. */
        told.parallel_threads = pbkdf->parallel ? pbkdf->parallel : LUKS_ARGON2_LANES_MAX;
    }
    result = crypt_set_pbkdf_type(library->device, &told);
    if (result < 0)
        return cryptsetup_library_error(library, result, "the key derivation can't be set", err);
    return 0;
}

int luks_pbkdf_measure(uint32_t *iterations, struct cryptsetup_library *library, size_t key_bytes,
                       struct error *err)
{
    const struct crypt_pbkdf_type *set = crypt_get_pbkdf_type(library->device);
    struct crypt_pbkdf_type pbkdf;
    int result;

    assert(set); /* by luks_pbkdf_set() */
    pbkdf = *set;
    if (!(pbkdf.flags & CRYPT_PBKDF_NO_BENCHMARK)) {
        result = crypt_benchmark_pbkdf(library->device, &pbkdf, "foo", 3, "bar", 3, key_bytes, NULL,
                                       NULL);
        if (result < 0)
            return cryptsetup_library_error(library, result, "the key derivation can't be measured",
                                            err);
    }
    *iterations = pbkdf.iterations;
    return 0;
}
