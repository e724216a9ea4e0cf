#!/bin/bash
# nbdinfo sees size, flags, block sizes, contexts and description of an export.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdinfo --version
image=$(temp_file)

# expect_info KEY VALUE: of the first export in nbdinfo's JSON.
expect_info() {
    local value

    value=$(python -c '
import json, sys
print(json.dumps(json.load(open(sys.argv[1]))["exports"][0].get(sys.argv[2])))' "$test_dir/info" "$1")
    expect_equal "$1" "$2" "$value"
}

format_luks2 "$image" 1M --sector-size 4096
start_nbdcrypt --key-file "$passphrase" --name 'disk one' --description 'a test' "$image"
nbdinfo --json "$uri" >"$test_dir/info"
expect_info export-name '"disk one"'
expect_info description '"a test"'
expect_info export-size 1048576
expect_info contexts '["base:allocation"]'
expect_info is_read_only false
expect_info is_rotational false
expect_info can_flush true
expect_info can_fua true
expect_info can_multi_conn true
expect_info can_zero true
expect_info can_fast_zero true
expect_info can_df true
expect_info can_trim false
# nbdinfo before 1.16 does not show these; tests/nbd/test-handshake-options.sh checks them in any case.
if grep -q block_size_ "$test_dir/info"; then
    expect_info block_size_minimum 1
    expect_info block_size_preferred 4096
    expect_info block_size_maximum 33554432
fi
expect_equal "protocol" '"newstyle-fixed"' \
    "$(python -c 'import json, sys; print(json.dumps(json.load(open(sys.argv[1]))["protocol"]))' "$test_dir/info")"
expect_equal "size" 1048576 "$(nbdinfo --size "$uri")"
stop_nbdcrypt

start_nbdcrypt --key-file "$passphrase" --read-only "$image"
nbdinfo --json "$uri" >"$test_dir/info"
expect_info is_read_only true
expect_info export-size 1048576
stop_nbdcrypt

start_nbdcrypt --key-file "$passphrase" --discard "$image"
nbdinfo --json "$uri" >"$test_dir/info"
expect_info can_trim true
nbdinfo --map "$uri" >"$test_dir/map"
expect_match "$test_dir/map" '^ *0 +1048576 +1 +hole$'
stop_nbdcrypt
