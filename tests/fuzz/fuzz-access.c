/* Any text as a list of rules, one a line: it may be refused, and nothing else may happen. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/access/access.h"
#include "server/access/dn.h"

#define RULES_MAX 16u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t cut_lines(char *text, const char *lines[RULES_MAX])
{
    size_t count = 0;

    for (char *rest = text, *line; count < RULES_MAX && (line = strsep(&rest, "\n")) != NULL;)
        lines[count++] = line;
    return count;
}

/* The whole text is what the client has proven. */
static void ask(const struct access *access, char *text)
{
    char *list[] = { text, NULL };
    struct peer peer = { .encrypted = true,
                         .proof = PEER_CERTIFICATE,
                         .identity = text,
                         .dns_names = list,
                         .uris = list };
    const int families[] = { AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6 };

    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        peer.address.ss_family = (sa_family_t)families[i];
        (void)access_allows(access, &peer);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = calloc(1, size + 1), *copy = calloc(1, size + 1);
    const char *lines[RULES_MAX];
    struct access *access;

    if (text && copy) {
        memcpy(text, data, size);
        memcpy(copy, data, size);
        if (dn_check(text, NULL) == 0 && !dn_equal(text, text))
            abort(); /* a name that is taken is itself */
        if (access_create(&access, lines, cut_lines(copy, lines), NULL) == 0) {
            ask(access, text);
            access_free(access);
        }
    }
    free(copy);
    free(text);
    return 0;
}
