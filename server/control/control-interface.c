#include "server/control/control-interface.h"

#include <stddef.h>
#include <string.h>

/* Made of the .varlink files by Makemodule.am: bytes, each with a comma. */
static const char org_nbdcrypt[] = {
#include "server/control/org.nbdcrypt.varlink.inc"
    '\0',
};
static const char org_varlink_service[] = {
#include "server/control/org.varlink.service.varlink.inc"
    '\0',
};

const char *control_interface_text(const char *name)
{
    if (strcmp(name, "org.nbdcrypt") == 0)
        return org_nbdcrypt;
    return strcmp(name, "org.varlink.service") == 0 ? org_varlink_service : NULL;
}
