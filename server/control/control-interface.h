/* The interfaces of the control socket, as text. */
#ifndef NBDCRYPT_CONTROL_INTERFACE_H
#define NBDCRYPT_CONTROL_INTERFACE_H

/* The text of a varlink interface; NULL: there is none of that name. */
const char *control_interface_text(const char *name);

#endif
