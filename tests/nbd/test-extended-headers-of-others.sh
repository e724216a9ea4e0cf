#!/bin/bash
# QEMU (8.2 and later) and libnbd (1.18 and later) agree on extended headers with the server, and copy, map, zero and compare
# with them; the same with TLS, and on an encrypted export. QEMU's metadata contexts come through.
#
# Environment: NEWER_NBD_CACHE, a folder for these programs, which are downloaded once (default: in the folder of nbdcrypt).
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/newer-nbd.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

get_newer_nbd
image=$(temp_file) source=$(temp_file) copy=$(temp_file)
make_pattern "$source" 8M
truncate -s 5T "$image" 2>"$log_dir/truncate" || skip "this file system has no files of 5 TiB"

# ---- a raw export of terabytes ----
start_nbdcrypt --raw --discard -vv "$image"
"$newer/nbdinfo" --json "$uri" >"$log_dir/info"
expect_match "$log_dir/info" '"extended": true'
"$newer/qemu-io" -f raw -c 'write -P 7 4398046511104 64k' -c 'write -P 8 1M 64k' "$uri" >"$log_dir/qemu-io" 2>&1
grep -q 'data' <("$newer/nbdinfo" --map "$uri") || fail "nbdinfo finds no data"
# The whole in a single BLOCK_STATUS.
expect_equal "map" "0 1048576 3 hole,zero
1048576 65536 0 data
1114112 4398045396992 3 hole,zero
4398046511104 65536 0 data
4398046576640 1099511562240 3 hole,zero" "$("$newer/nbdinfo" --map "$uri" | tr -s ' ' | sed 's/^ //')"
"$newer/qemu-img" map --output=json -f raw "$uri" >"$log_dir/map"
python - "$log_dir/map" <<'EOF'
import json
import sys

data = [(one["start"], one["length"]) for one in json.load(open(sys.argv[1])) if one["data"]]
assert data == [(1048576, 65536), (4398046511104, 65536)], data
EOF
# One request of terabytes.
"$newer/qemu-io" -f raw -d unmap -c 'discard 1M 64k' -c 'write -z -n -u 0 5T' -c 'read -P 0 4398046511104 64k' "$uri" >"$log_dir/qemu-io" 2>&1
! grep -qiE 'fail|error|mismatch' "$log_dir/qemu-io" || fail "QEMU: $(cat "$log_dir/qemu-io")"
expect_equal "map" "0 5497558138880 3 hole,zero" "$("$newer/nbdinfo" --map "$uri" | tr -s ' ' | sed 's/^ //')"
stop_nbdcrypt

# ---- encrypted ----
format_luks2 "$image" 64M --sector-size 4096
start_nbdcrypt --key-file "$passphrase" "$image"
"$newer/nbdinfo" --json "$uri" >"$log_dir/info"
expect_match "$log_dir/info" '"extended": true'
"$newer/nbdcopy" "$source" "$uri"
"$newer/nbdcopy" "$uri" "$copy"
cmp -n 8M "$copy" "$source"
"$newer/qemu-img" convert -n -f raw -O raw "$source" "$uri"
"$newer/nbdcopy" "$uri" "$copy"
cmp -n 8M "$copy" "$source"
"$newer/qemu-io" -f raw -c 'write -z 1M 40M' -c 'read -P 0 1M 40M' "$uri" >"$log_dir/qemu-io" 2>&1
! grep -qiE 'fail|error|mismatch' "$log_dir/qemu-io" || fail "QEMU: $(cat "$log_dir/qemu-io")"
stop_nbdcrypt

# ---- metadata contexts of such a QEMU, which is asked for one of them by its number ----
qcow2=$(temp_file)
new_remote
"$newer/qemu-img" create -q -f qcow2 "$qcow2" 64M
"$newer/qemu-img" bitmap --add "$qcow2" b0
"$newer/qemu-io" -f qcow2 -c 'write 8M 64k' -c 'write 20M 1M' "$qcow2" >"$log_dir/qemu-io"
start_remote "$newer/qemu-nbd" --read-only --persistent --format=qcow2 --export-name= --socket="$remote_socket" -A -B b0 \
    --shared=8 "$qcow2"
maps=()
for context in base:allocation qemu:allocation-depth qemu:dirty-bitmap:b0; do
    map=$(temp_file)
    "$newer/nbdinfo" --map="$context" "$remote" | awk '{ print $1, $2, $3 }' >"$map"
    maps+=("$context=$map")
done
start_nbdcrypt --raw "$remote"
python "$source_dir/tests/remote/contexts-of-others.py" "$uri" "${maps[@]}" </dev/null
expect_equal "what is dirty, told with extended headers" "$(cat "$map")" \
    "$("$newer/nbdinfo" --map=qemu:dirty-bitmap:b0 "$uri" | awk '{ print $1, $2, $3 }')"
stop_nbdcrypt
kill_remote

# ---- and they bear that they are refused ----
start_nbdcrypt --key-file "$passphrase" --no-extended-headers "$image"
"$newer/nbdinfo" --json "$uri" >"$log_dir/info"
expect_match "$log_dir/info" '"extended": false'
"$newer/qemu-io" -f raw -c 'read -P 0 1M 40M' "$uri" >"$log_dir/qemu-io" 2>&1
! grep -qiE 'fail|error|mismatch' "$log_dir/qemu-io" || fail "QEMU: $(cat "$log_dir/qemu-io")"
stop_nbdcrypt
