#!/bin/bash
# The example of a varlink client adds a disk, with its key by a descriptor, twice; and says what is wrong.
. "$(dirname "$0")/../support/functions.sh"

image=$(temp_file) control=$(temp_socket)
"$NBDCRYPT" format --key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 4M --force "$image" >/dev/null
start_nbdcrypt --control "$control" --export "first=memory:1M,raw"
add() { "$PYTHON" "$source_dir/examples/varlink-client.py" "$control" "$@"; }

for changed in true false; do
    add disk "$image" <"$passphrase" >"$log_dir/added"
    expect_match "$log_dir/added" "\"changed\": $changed, \"size_bytes\": 4194304, \"uuid\": \"[0-9a-f-]{36}\""
done
nbdinfo --size "nbd+unix:///disk?socket=$socket" >"$log_dir/size"
expect_equal "size" 4194304 "$(cat "$log_dir/size")"
expect_success ctl --socket "$control" remove disk
! echo wrong | add disk "$image" 2>"$log_dir/wrong" || fail "a wrong key opened it"
expect_match "$log_dir/wrong" "AddExport: org.nbdcrypt.NotPossible: .*no key"
stop_nbdcrypt
