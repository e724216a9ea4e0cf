/* Which file an address is of: the program and its libraries, as they are mapped now, and the names
 * of the program's own functions, from its own file, where they have not been stripped off.  Safe
 * in a handler of a signal, but for the first function. */
#ifndef NBDCRYPT_REPORT_MODULES_H
#define NBDCRYPT_REPORT_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPORT_MODULES_MAX 192u
#define REPORT_MODULE_BYTES 96u
#define REPORT_BUILD_ID_BYTES 41u /* hexadecimal, with a NUL */

struct report_module {
    uint64_t start, end;            /* of its mappings */
    char name[REPORT_MODULE_BYTES]; /* of its file, without the folder */
    bool is_program;
};

struct report_modules {
    size_t count;
    struct report_module modules[REPORT_MODULES_MAX];
};

/* At the start, where that file can be opened: maps the program's own file, and looks for its build
 * id.  Once more does no harm. */
void report_modules_start(void);
/* "": it has none. */
const char *report_build_id(void);

void report_modules_read(struct report_modules *out);
/* NULL: none of them. */
const struct report_module *report_module_of(const struct report_modules *modules,
                                             uint64_t address);
/* The function of the program that it lies in, `offset` from the start of the program; NULL: not
 * known.  *within: how far behind its beginning. */
const char *report_function_at(uint64_t offset, uint64_t *within);

#endif
