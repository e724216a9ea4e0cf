#include "server/volume/header-demands.h"

const char *header_demands_given(const struct header_demands *arguments)
{
    if (arguments->uuid)
        return "expect-uuid";
    if (arguments->digest)
        return "header-digest";
    if (arguments->ciphers.count > 0)
        return "cipher";
    if (arguments->key_bits_min > 0)
        return "min-key-bits";
    if (arguments->iterations_max > 0)
        return "max-pbkdf-iterations";
    return arguments->memory_kib_max > 0 ? "max-pbkdf-memory-kib" : NULL;
}

int header_demands_check(const struct header_demands *arguments, struct error *err)
{
    int result = arguments->uuid != NULL ? luks_demands_check_uuid(arguments->uuid, err) : 0;

    if (result < 0) {
        error_prefix(err, "expect-uuid: ");
        return result;
    }
    result = arguments->digest != NULL ? luks_demands_check_digest(arguments->digest, err) : 0;
    if (result < 0)
        error_prefix(err, "header-digest: ");
    return result;
}

struct luks_demands header_demands_meaning(const struct header_demands *arguments)
{
    return (struct luks_demands){
        .uuid = arguments->uuid,
        .digest = arguments->digest,
        .ciphers = arguments->ciphers.items,
        .cipher_count = arguments->ciphers.count,
        .key_bits_min = arguments->key_bits_min,
        .iterations_max = arguments->iterations_max,
        .memory_kib_max = arguments->memory_kib_max,
    };
}

struct luks_demands header_demands_merged(const struct header_demands *own,
                                          const struct header_demands *common)
{
    struct luks_demands demands = header_demands_meaning(own);

    if (demands.uuid == NULL)
        demands.uuid = common->uuid;
    if (demands.digest == NULL)
        demands.digest = common->digest;
    if (demands.cipher_count == 0) {
        demands.ciphers = common->ciphers.items;
        demands.cipher_count = common->ciphers.count;
    }
    if (demands.key_bits_min == 0)
        demands.key_bits_min = common->key_bits_min;
    if (demands.iterations_max == 0)
        demands.iterations_max = common->iterations_max;
    if (demands.memory_kib_max == 0)
        demands.memory_kib_max = common->memory_kib_max;
    return demands;
}
