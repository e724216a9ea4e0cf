#include "server/serve/served-config.h"

#include <errno.h>
#include <stdlib.h>

#include "server/serve/added-export.h"
#include "server/serve/export-opening.h"
#include "server/serve/exports-change.h"
#include "server/serve/kept-settings.h"

/* Of the configuration that holds.  What was removed and can only be opened at the start is not
 * said to come: it can't. */
static bool stays(const struct export_set *set, const struct export_settings *settings)
{
    const struct export *ex = exports_find(set, settings->name);

    return ex != NULL ? !ex->settings->added : export_opens_in_order(settings);
}

static bool is_added(const struct export_set *set, const char *name)
{
    const struct export *ex = exports_find(set, name);

    return ex != NULL && ex->settings->added;
}

/* As it is served: it may go while the copy is looked at. */
static int copy_added(struct served_config *out, const struct export *ex)
{
    struct export_settings as_added = added_as_configured(ex->settings);
    struct export_settings *kept = kept_settings_create(&as_added);

    if (kept == NULL)
        return -ENOMEM;
    out->kept[out->kept_count++] = kept;
    out->options.exports[out->options.export_count++] = *kept;
    return 0;
}

int served_config_make(struct served_config *out, const struct serve_options *current,
                       const struct serve_options *next, const struct export_set *set,
                       struct error *err)
{
    struct export_settings *copies =
        calloc(current->export_count + next->export_count + 1, sizeof *copies);
    int result = 0;

    *out = (struct served_config){ .options = *current, .copies = copies };
    out->kept = calloc(next->export_count + 1, sizeof(struct export_settings *));
    if (copies == NULL || out->kept == NULL)
        return error_no_memory(err, "for comparing configurations");
    out->options.exports = copies;
    out->options.export_count = 0;
    for (size_t i = 0; i < current->export_count; i++)
        if (stays(set, &current->exports[i]))
            copies[out->options.export_count++] = current->exports[i];
    for (size_t i = 0; i < next->export_count && result == 0; i++)
        if (is_added(set, next->exports[i].name))
            result = copy_added(out, exports_find(set, next->exports[i].name));
    return result == 0 ? 0 : error_no_memory(err, "for comparing configurations");
}

void served_config_free(struct served_config *served)
{
    while (served->kept_count > 0)
        kept_settings_free(served->kept[--served->kept_count]);
    free(served->kept);
    free(served->copies);
    *served = (struct served_config){ .kept_count = 0 };
}
