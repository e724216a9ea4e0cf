#!/bin/bash
# The program exports each function that nbdkit's header declares for plugins, so that none is missing when one is loaded.
. "$(dirname "$0")/../support/functions.sh"

requires readelf --version
[ -e /usr/include/nbdkit-common.h ] || {
    [ "${CI-}" != true ] || fail "nbdkit-common.h is not here, and CI must install it (nbdkit-plugin-dev)"
    skip "nbdkit-common.h is not here: install nbdkit-plugin-dev (Fedora: nbdkit-devel)"
}

# names FILE...: of the functions that they declare.
names() {
    tr '\n' ' ' <"$1" | grep -oE 'NBDKIT_EXTERN_DECL \([^,]*, *nbdkit_[a-z0-9_]+' | grep -oE 'nbdkit_[a-z0-9_]+$'
}

readelf --dyn-syms --wide "$NBDCRYPT" | grep -oE 'nbdkit_[a-z0-9_]+$' >"$log_dir/exported"
{ names /usr/include/nbdkit-common.h && names /usr/include/nbdkit-plugin.h; } >"$log_dir/declared"
[ "$(wc -l <"$log_dir/declared")" -ge 30 ] || fail "the header is not understood: $(cat "$log_dir/declared")"
missing=$(grep -vxFf "$log_dir/exported" "$log_dir/declared" || true)
version=$(sed -n 's/#define NBDKIT_VERSION_MINOR //p' /usr/include/nbdkit-version.h)
[ -z "$missing" ] || [ "$version" -gt 32 ] || fail "plugins of nbdkit may call what is not there: $missing"
echo "declared: $(wc -l <"$log_dir/declared"); not there, of nbdkit 1.$version: ${missing:-none}"
