#include "plugins/nbdkit/nbdkit-interpreter.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <string.h>

static struct interpreter {
    const char *library; /* the beginning of its name */
    const char *user;    /* the name of the plugin that has it; NULL: none */
} interpreters[] = { { "libpython", NULL }, { "libperl", NULL }, { "libruby", NULL } };
#define INTERPRETER_COUNT (sizeof interpreters / sizeof interpreters[0])

static struct interpreter *interpreter_of(const char *library)
{
    for (size_t i = 0; i < INTERPRETER_COUNT; i++)
        if (strncmp(library, interpreters[i].library, strlen(interpreters[i].library)) == 0)
            return &interpreters[i];
    return NULL;
}

/* The loader has made it an address on most architectures; on others it is relative to the
 * library. */
static const char *names_in(const struct link_map *map)
{
    for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == DT_STRTAB)
            return (const char *)(entry->d_un.d_ptr < map->l_addr ? map->l_addr + entry->d_un.d_ptr
                                                                  : entry->d_un.d_ptr);
    return NULL;
}

int nbdkit_interpreter_take(void *library, const char *name, struct error *err)
{
    struct link_map *map = NULL;

    if (dlinfo(library, RTLD_DI_LINKMAP, &map) < 0 || map == NULL)
        return 0;
    const char *names = names_in(map);
    for (const ElfW(Dyn) *entry = map->l_ld; names != NULL && entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag != DT_NEEDED)
            continue;
        const char *needed = names + entry->d_un.d_val;
        struct interpreter *interpreter = interpreter_of(needed);
        if (interpreter == NULL)
            continue;
        if (interpreter->user != NULL)
            return error_set(
                err, -EBUSY,
                "the plugin needs %s, which works once in a process, and the plugin '%s' of "
                "another export has it; serve this one by a server of its own",
                needed, interpreter->user);
        interpreter->user = name;
    }
    return 0;
}

void nbdkit_interpreter_release(const char *name)
{
    for (size_t i = 0; i < INTERPRETER_COUNT; i++)
        if (interpreters[i].user == name)
            interpreters[i].user = NULL;
}
