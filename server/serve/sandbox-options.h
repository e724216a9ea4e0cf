/* The options of `serve` that are about the sandbox. */
#ifndef NBDCRYPT_SANDBOX_OPTIONS_H
#define NBDCRYPT_SANDBOX_OPTIONS_H

#include "server/base/params.h"
#include "server/sandbox/sandbox.h"

/* --sandbox and the options that begin with it. */
struct sandbox_options {
    const char *mode;              /* "auto", "strict", "off"; NULL: auto */
    const char *plugins;           /* "confined", "free"; NULL: as the mode has it */
    struct param_list image_paths; /* each may be several, with blanks between */
    struct param_list connect;     /* ports and ranges of ports, the same */
    struct param_list programs;    /* the same; "none" and "any" as they are */
};

/* -EINVAL with a sentence for what makes no sense. */
NODISCARD int sandbox_options_check(const struct sandbox_options *options, struct error *err);
enum sandbox_mode sandbox_options_mode(const struct sandbox_options *options);

#endif
