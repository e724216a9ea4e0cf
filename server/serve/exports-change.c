#include "server/serve/exports-change.h"

#include <errno.h>
#include <string.h>

#include "server/board/board-owner.h"

int exports_change_fail(struct exports_change *change, int code)
{
    change->code = code;
    return code;
}

int exports_change_fail_for_the_end(struct exports_change *change)
{
    return exports_change_fail(change,
                               error_set(&change->error, -ESHUTDOWN, "the server is ending"));
}

bool exports_change_removes(const struct exports_change *change, const struct export *export)
{
    for (size_t i = 0; i < change->removed_count; i++)
        if (strcmp(change->removed[i], export->name) == 0)
            return true;
    return false;
}

bool exports_change_adds(const struct exports_change *change, const char *name)
{
    for (size_t i = 0; i < change->added_count; i++)
        if (change->added[i].settings != NULL && /* which was not given up */
            strcmp(change->added[i].settings->name, name) == 0)
            return true;
    return false;
}

struct export *exports_find(const struct export_set *set, const char *name)
{
    struct export *found = export_set_named(set, name, strlen(name));

    return found != NULL && strcmp(found->name, name) == 0 ? found : NULL;
}

int exports_change_needs(struct exports_change *change, const struct export_set *set,
                         const char *name)
{
    if (exports_find(set, name) != NULL)
        return 0;
    return exports_change_fail(change,
                               error_set(&change->error, -ENOENT, "there is no export '%s'", name));
}

void exports_change_keep_figures(const struct exports_change *change,
                                 const struct export_set *before, const struct export_set *after,
                                 const struct board *board)
{
    for (size_t i = 0; i < change->added_count; i++) {
        const char *name = change->added[i].settings->name;
        const struct export *old = exports_find(before, name), *new = exports_find(after, name);

        if (old != NULL && new != NULL)
            board_export_replace(board, old->place, new->place);
    }
}

/* Of one that is there: it may have got another one since the change was thought of. */
static int check_image(struct exports_change *change, const struct export_set *set,
                       const struct export_settings *settings)
{
    if (strcmp(exports_find(set, settings->name)->settings->image, settings->image) == 0)
        return 0;
    return exports_change_fail(change,
                               error_set(&change->error, -EBUSY,
                                         "export '%s' got another image meanwhile: do it once more",
                                         settings->name));
}

int exports_change_check(struct exports_change *change, const struct export_set *set)
{
    int code = 0;

    for (size_t i = 0; code == 0 && i < change->removed_count; i++)
        code = exports_change_needs(change, set, change->removed[i]);
    for (size_t i = 0; code == 0 && i < change->altered_count; i++)
        code = exports_change_needs(change, set, change->altered[i].settings->name);
    for (size_t i = 0; code == 0 && i < change->altered_count; i++)
        code = check_image(change, set, change->altered[i].settings);
    if (code < 0)
        return code;
    for (size_t i = 0; i < change->added_count; i++) {
        const char *name = change->added[i].settings->name;
        const struct export *there = exports_find(set, name);

        if (there != NULL && !exports_change_removes(change, there))
            return exports_change_fail(change, error_set(&change->error, -EEXIST,
                                                         "there is an export '%s' already", name));
        for (size_t k = 0; k < i; k++)
            if (strcmp(change->added[k].settings->name, name) == 0)
                return exports_change_fail(
                    change,
                    error_set(&change->error, -EEXIST, "two exports are to be named '%s'", name));
    }
    return 0;
}
