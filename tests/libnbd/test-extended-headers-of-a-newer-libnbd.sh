#!/bin/bash
# The same requests with extended headers, which libnbd has from version 1.18 on.
#
# Environment: NEWER_NBD_CACHE, see ../support/newer-nbd.sh.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/libnbd.sh"
. "$(dirname "$0")/../support/newer-nbd.sh"

! is_sanitized || skip "what sanitizers want does not go with the libraries of another Debian"
get_newer_nbd
old_client=$libnbd_client
libnbd_client=$test_dir/newer-client
printf "#!/bin/sh\nLIBNBD_CLIENT_EXTENDED=1 exec '%s' --library-path '%s' '%s' \"\$@\"\n" \
    "$(compgen -G "$newer/lib/ld-linux-*.so.*")" "$newer/lib" "$old_client" >"$libnbd_client"
chmod +x "$libnbd_client"

check() {
    expect_right requests "$uri" 4 64 1500 21
    expect_right close "$uri"
    expect_right options "nbd+unix:///?socket=$socket" '' 4194304
}
on_each_pipeline 4M check --discard
