/* Distinguished names as text: RFC 4514, "CN=vm7,O=Example".
 *
 * Two texts are the same name if they have the same attributes with the same values in the same
 * order, however they are written: blanks around ',', '+' and '=' and the case of a type ("cn") do
 * not count, an escaped character is that character ("\2C" and "\," are a comma), and emailAddress
 * is EMAIL.  Values are compared byte by byte, case included. */
#ifndef NBDCRYPT_DN_H
#define NBDCRYPT_DN_H

#include <stdbool.h>

#include "server/base/error.h"

/* 0, or -EINVAL with a sentence that says what is not right in `text`.  Stricter than RFC 4514 in
 * one thing: an unescaped '*' is refused, because it is meant as a pattern and would be none. */
NODISCARD int dn_check(const char *text, struct error *err);

/* False as well when one of them is no distinguished name. */
bool dn_equal(const char *a, const char *b);

#endif
