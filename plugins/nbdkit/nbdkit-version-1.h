/* Plugins of the first version of nbdkit's interface, whose calls have no flags
 * (nbdkit-plugin(3)). */
#ifndef NBDCRYPT_NBDKIT_VERSION_1_H
#define NBDCRYPT_NBDKIT_VERSION_1_H

#include "plugins/nbdkit/nbdkit-api.h"

/* Gives a plugin of version 1 the calls of version 2, which pass on what it has.  It is never told
 * of FUA, which the caller emulates by a flush, nor asked for fast zeroing.  They are for a thread
 * that is in the plugin: see nbdkit_host_enter(). */
void nbdkit_version_1_adapt(struct nbdkit_plugin *plugin);

#endif
