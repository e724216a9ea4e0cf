#include "server/serve/sandbox-lists.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- paths ---- */

/* Takes over `path`; NULL: there was no memory for it. */
static int add_path(struct sandbox_lists *lists, char *path, enum sandbox_access access,
                    bool demanded, struct error *err)
{
    struct sandbox_path *paths =
        path == NULL ? NULL : reallocarray(lists->paths, lists->path_count + 1, sizeof *paths);

    if (paths == NULL) {
        free(path);
        return error_no_memory(err, "for the sandbox");
    }
    lists->paths = paths;
    paths[lists->path_count++] =
        (struct sandbox_path){ .path = path, .access = access, .demanded = demanded };
    return 0;
}

int sandbox_lists_add_path(struct sandbox_lists *lists, const char *path,
                           enum sandbox_access access, struct error *err)
{
    return path == NULL ? 0 : add_path(lists, strdup(path), access, false, err);
}

int sandbox_lists_add_folder_of(struct sandbox_lists *lists, const char *path,
                                enum sandbox_access access, struct error *err)
{
    const char *slash = path == NULL ? NULL : strrchr(path, '/');

    if (path == NULL)
        return 0;
    if (slash == NULL)
        return add_path(lists, strdup("."), access, false, err);
    if (slash == path)
        return add_path(lists, strdup(path), access, false, err);
    return add_path(lists, strndup(path, (size_t)(slash - path)), access, false, err);
}

/* Where the path ends: at blanks with another path behind them, or at the end. */
static const char *end_of_path(const char *text)
{
    const char *end = text;

    while (*end != '\0') {
        const char *next = end + strspn(end, " \t");

        if (next > end && (*next == '/' || *next == '\0'))
            return end;
        end = next > end ? next : end + 1;
    }
    return end;
}

static int add_paths_of(struct sandbox_lists *lists, const char *text, struct error *err)
{
    int result = 0;

    for (text += strspn(text, " \t"); *text != '\0' && result == 0; text += strspn(text, " \t")) {
        const char *end = end_of_path(text);

        if (*text != '/')
            return error_set(err, -EINVAL,
                             "--sandbox-image-paths: '%s' is not a whole path, from / on", text);
        result = add_path(lists, strndup(text, (size_t)(end - text)), SANDBOX_WRITE, true, err);
        text = end;
    }
    return result;
}

int sandbox_lists_add_paths(struct sandbox_lists *lists, const struct param_list *texts,
                            struct error *err)
{
    int result = 0;

    for (size_t i = 0; i < texts->count && result == 0; i++)
        result = add_paths_of(lists, texts->items[i], err);
    return result;
}

/* ---- ports ---- */

static int add_port(uint16_t **ports, size_t *count, unsigned port, struct error *err)
{
    uint16_t *more = reallocarray(*ports, *count + 1, sizeof *more);

    if (more == NULL)
        return error_no_memory(err, "for the sandbox");
    *ports = more;
    more[(*count)++] = (uint16_t)port;
    return 0;
}

int sandbox_lists_add_connect(struct sandbox_lists *lists, unsigned first, unsigned last,
                              struct error *err)
{
    int result = 0;

    for (unsigned port = first; port <= last && result == 0; port++)
        result = add_port(&lists->connect, &lists->connect_count, port, err);
    return result;
}

int sandbox_lists_add_bind(struct sandbox_lists *lists, unsigned port, struct error *err)
{
    return add_port(&lists->bind, &lists->bind_count, port, err);
}

/* 0: it is none. */
static unsigned parse_port(const char **text)
{
    char *end;
    unsigned long port = isdigit((unsigned char)**text) ? strtoul(*text, &end, 10) : 0;

    if (port == 0 || port > UINT16_MAX)
        return 0;
    *text = end;
    return (unsigned)port;
}

static int add_ports_of(struct sandbox_lists *lists, const char *text, struct error *err)
{
    int result = 0;

    for (text += strspn(text, " \t"); *text != '\0' && result == 0; text += strspn(text, " \t")) {
        const char *start = text;
        unsigned first = parse_port(&text), last = first;

        if (*text == '-' && first > 0) {
            text++;
            last = parse_port(&text);
        }
        if (first == 0 || last < first || strchr(" \t", *text) == NULL)
            return error_set(err, -EINVAL,
                             "--sandbox-connect: '%s' is no port such as 10809, and no range such "
                             "as 6800-7300",
                             start);
        result = sandbox_lists_add_connect(lists, first, last, err);
    }
    return result;
}

int sandbox_lists_add_ports(struct sandbox_lists *lists, const struct param_list *texts,
                            struct error *err)
{
    int result = 0;

    for (size_t i = 0; i < texts->count && result == 0; i++)
        result = add_ports_of(lists, texts->items[i], err);
    return result;
}

void sandbox_lists_free(struct sandbox_lists *lists)
{
    for (size_t i = 0; i < lists->path_count; i++)
        free((char *)(uintptr_t)lists->paths[i].path);
    free(lists->paths);
    free(lists->connect);
    free(lists->bind);
    *lists = (struct sandbox_lists){ 0 };
}
