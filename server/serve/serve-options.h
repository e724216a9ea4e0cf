/* The command line of `nbdcrypt serve`, read and checked as a whole before anything is done. */
#ifndef NBDCRYPT_SERVE_OPTIONS_H
#define NBDCRYPT_SERVE_OPTIONS_H

#include "server/serve/serve-params.h"

/* argv[0] is "serve"; argv is reordered and must outlive `out`.  -EINVAL with a sentence for
 * everything that makes no sense.  When --help was given, out->help is set, 0 is returned, and
 * nothing else has been looked at.  `out` is freed by serve_options_free() in every case.
 *
 * With --config, what is wrong is in out->files.problems, all of it, and the sentence only counts.
 * What the command line says takes the place of what files say of the same; exports add up. */
NODISCARD int serve_options_parse(struct serve_options *out, int argc, char **argv,
                                  struct error *err);
/* The same for a server that another user will start: see config-folder.h. */
NODISCARD int serve_options_parse_for_others(struct serve_options *out, int argc, char **argv,
                                             struct error *err);
void serve_options_free(struct serve_options *options);

/* No export may fail: by --strict, and where there is only one of which nobody said that it may
 * come later. */
bool serve_options_are_strict(const struct serve_options *options);

void serve_options_print_help(FILE *out);

#endif
