#!/bin/bash
# A limit on the size of files (ulimit -f) is named where it stops something, and is no lack of memory.
. "$(dirname "$0")/../support/functions.sh"

disk=$(temp_file)
format_luks2 "$disk" 1M
limited() {
    (ulimit -f 100 && timeout 60 "$NBDCRYPT" "$@" </dev/null >"$log_dir/out" 2>"$log_dir/err") && fail "'nbdcrypt $*' succeeded"
    # shellcheck disable=SC2016 # it is not for this shell
    expect_match "$log_dir/err" 'a LUKS header of [0-9]+ bytes is more than files may have here; raise `ulimit -f` \(RLIMIT_FSIZE\)$'
}
limited serve --key-file "$passphrase" --unix "$(temp_socket)" "$disk"
limited info "$disk"
limited format --key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 1M "$test_dir/new"
[ ! -e "$test_dir/new" ] || fail "half a disk is left behind"

raw=$(temp_file)
truncate --size=1M "$raw"
ulimit -S -f 100
start_nbdcrypt --raw "$raw"
expect_equal "errors of writes below and above the limit" "0 28" "$(python - "$uri" <<'PYTHON_END'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    print(client.error_of(CMD_WRITE, 0, 512, 0, bytes(512)), client.error_of(CMD_WRITE, 1 << 19, 512, 0, bytes(512)))
    client.disconnect()
PYTHON_END
)"
expect_match "$server_log" 'WRITE at byte 524288 failed: File too large$'
stop_nbdcrypt
