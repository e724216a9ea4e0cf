/* Secrets are wiped, left out of core dumps and of children, and compared as a whole. */
#include <stdio.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "tests/support/check.h"

static struct error err;

static struct secret *make(const char *text)
{
    struct secret *secret = NULL;

    EXPECT(secret_copy(&secret, text, strlen(text), &err) == 0);
    return secret;
}

static void starts_zeroed_and_page_aligned(void)
{
    struct secret *secret = NULL;

    EXPECT(secret_create(&secret, 5000, &err) == 0);
    EXPECT(secret->length_bytes == 5000);
    EXPECT((uintptr_t)secret->data % (size_t)sysconf(_SC_PAGESIZE) == 0);
    EXPECT(secret->mapped_bytes % (size_t)sysconf(_SC_PAGESIZE) == 0);
    for (size_t i = 0; i < 5000; i++)
        EXPECT(secret->data[i] == 0);
    secret_free(secret);
    secret_free(NULL);
}

static void may_be_empty(void)
{
    struct secret *a = make(""), *b = make("");

    EXPECT(a->length_bytes == 0 && a->data != NULL);
    EXPECT(secret_equal(a, b));
    secret_free(a);
    secret_free(b);
}

static void equal_means_every_byte(void)
{
    struct secret *a = make("passphrase"), *same = make("passphrase");
    struct secret *shorter = make("passphras"), *other = make("passphrasf");

    EXPECT(secret_equal(a, same));
    EXPECT(!secret_equal(a, shorter));
    EXPECT(!secret_equal(shorter, a));
    EXPECT(!secret_equal(a, other));
    secret_free(a);
    secret_free(same);
    secret_free(shorter);
    secret_free(other);
}

static void truncate_wipes_the_rest(void)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    struct secret *secret = NULL;

    EXPECT(secret_create(&secret, 3 * page_bytes, &err) == 0);
    for (size_t i = 0; i < secret->length_bytes; i++)
        secret->data[i] = 0xa5;
    secret_truncate(secret, page_bytes / 2);
    EXPECT(secret->length_bytes == page_bytes / 2);
    EXPECT(secret->mapped_bytes == page_bytes);
    for (size_t i = 0; i < page_bytes; i++)
        EXPECT(secret->data[i] == (i < page_bytes / 2 ? 0xa5 : 0));
    secret_truncate(secret, 0);
    EXPECT(secret->data[0] == 0);
    secret_free(secret);
}

static void too_large_is_an_error(void)
{
    struct secret *secret = NULL;

    EXPECT(secret_create(&secret, SIZE_MAX, &err) < 0);
    EXPECT(strstr(err.text, "not enough memory for a secret") == err.text);
    EXPECT(secret == NULL);
}

/* The line "VmFlags:" of the mapping: dd left out of dumps, dc not copied on fork. */
static void flags_of(const void *address, char *flags, size_t flags_bytes)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    bool inside = false;

    EXPECT(maps != NULL);
    flags[0] = '\0';
    while (fgets(line, sizeof line, maps)) {
        unsigned long start, end;

        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            inside = (uintptr_t)address >= start && (uintptr_t)address < end;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            (void)snprintf(flags, flags_bytes, "%s", line);
    }
    (void)fclose(maps);
}

static void kernel_knows(void)
{
    struct secret *secret = make("passphrase");
    char flags[512];

    flags_of(secret->data, flags, sizeof flags);
    if (flags[0] != '\0') { /* not every sandbox shows them */
        EXPECT(strstr(flags, " dd") != NULL);
        EXPECT(strstr(flags, " dc") != NULL);
    }
    secret_free(secret);
}

static const struct check checks[] = {
    { "a secret starts zeroed, on pages of its own", starts_zeroed_and_page_aligned },
    { "a secret may be empty", may_be_empty },
    { "equal means every byte", equal_means_every_byte },
    { "truncating wipes what is cut off", truncate_wipes_the_rest },
    { "too large a secret is an error", too_large_is_an_error },
    { "a secret is left out of core dumps and children", kernel_knows },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
