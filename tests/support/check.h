/* Unit tests as a table of claims: each is a sentence and a function that ends the program when
 * it is not true.
 *
 *     static const struct check checks[] = { { "an empty name is valid", empty_name }, };
 *     int main(int argc, char **argv) { return CHECKS_RUN(checks, argc, argv); }
 *
 * With arguments, only the claims that contain one of them are run. */
#ifndef NBDCRYPT_CHECK_H
#define NBDCRYPT_CHECK_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check {
    const char *claim;
    void (*run)(void);
};

#define CHECKS_RUN(table, argc, argv) \
    checks_run(table, sizeof table / sizeof((table)[0]), argc, argv)

/* Ends the test with the place and what was expected. */
#define EXPECT(condition)                                                             \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

#define EXPECT_TEXT(actual, expected)                                                              \
    do {                                                                                           \
        const char *expect_actual = (actual), *expect_expected = (expected);                       \
        if (strcmp(expect_actual, expect_expected) != 0) {                                         \
            fprintf(stderr, "%s:%d: got '%s', expected '%s'\n", __FILE__, __LINE__, expect_actual, \
                    expect_expected);                                                              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline bool check_is_asked_for(const struct check *check, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strstr(check->claim, argv[i]))
            return true;
    }
    return argc < 2;
}

static inline int checks_run(const struct check *table, size_t count, int argc, char **argv)
{
    for (size_t i = 0; i < count; i++) {
        if (!check_is_asked_for(&table[i], argc, argv))
            continue;
        printf("%s ... ", table[i].claim);
        fflush(stdout);
        table[i].run();
        printf("ok\n");
    }
    return EXIT_SUCCESS;
}

#endif
