#include "server/serve/sandbox-options.h"

#include <errno.h>
#include <string.h>

#include "server/serve/sandbox-lists.h"

enum sandbox_mode sandbox_options_mode(const struct sandbox_options *options)
{
    if (options->mode == NULL || strcmp(options->mode, "auto") == 0)
        return SANDBOX_AUTO;
    return strcmp(options->mode, "strict") == 0 ? SANDBOX_STRICT : SANDBOX_OFF;
}

static bool is_one_of(const char *text, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(*names, text) == 0)
            return true;
    return false;
}

/* An option that says something about a sandbox that there is not; NULL: there is none. */
static const char *about_sandbox(const struct sandbox_options *options)
{
    return options->plugins != NULL         ? "plugins"
           : options->image_paths.count > 0 ? "image-paths"
           : options->connect.count > 0     ? "connect"
           : options->programs.count > 0    ? "programs"
                                            : NULL;
}

int sandbox_options_check(const struct sandbox_options *options, struct error *err)
{
    static const char *const modes[] = { "auto", "strict", "off", NULL };
    static const char *const plugins[] = { "confined", "free", NULL };
    struct sandbox_lists lists = { 0 };

    if (options->mode != NULL && !is_one_of(options->mode, modes))
        return error_set(err, -EINVAL, "--sandbox takes auto, strict or off, and not '%s'",
                         options->mode);
    if (options->plugins != NULL && !is_one_of(options->plugins, plugins))
        return error_set(err, -EINVAL, "--sandbox-plugins takes confined or free, and not '%s'",
                         options->plugins);
    if (sandbox_options_mode(options) == SANDBOX_OFF && about_sandbox(options) != NULL)
        return error_set(err, -EINVAL,
                         "--sandbox off and --sandbox-%s contradict each other: leave out one of "
                         "the two",
                         about_sandbox(options));
    int result = sandbox_lists_add_paths(&lists, &options->image_paths, err);
    if (result == 0)
        result = sandbox_lists_add_ports(&lists, &options->connect, err);
    sandbox_lists_free(&lists);
    return result;
}
