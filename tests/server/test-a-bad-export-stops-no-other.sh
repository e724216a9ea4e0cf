#!/bin/bash
# An export that can't be opened is told, by name and reason, and the others are served.  Clients neither see nor attach it,
# no other one becomes the default export in its place, and with --strict, or when none is left, the server does not start.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdinfo --version
requires nbdcopy --version

plain=$(temp_file) good=$(temp_file) bad=$(temp_file) wrong_key=$(temp_file)
make_pattern "$plain" 1M
encrypt_to_luks2 "$plain" "$good"
cp "$good" "$bad"
printf 'another' >"$wrong_key"

start_nbdcrypt --export "good=$good,key-file=$passphrase" --export "bad=$bad,key-file=$wrong_key"
expect_message "$server_log" "nbdcrypt: export 'bad' is not served: image '$bad': no keyslot opens with this key"
nbdcopy "nbd+unix:///good?socket=$socket" - | cmp - "$plain"
nbdinfo --list --json "nbd+unix:///?socket=$socket" >"$test_dir/list"
python "$source_dir/tests/server/a-bad-export-stops-no-other.py" "$test_dir/list" "nbd+unix:///good?socket=$socket" </dev/null
expect_alive "nbd+unix:///good?socket=$socket"
stop_nbdcrypt

expect_failure 1 "image '$bad': no keyslot opens with this key" serve --unix "$(temp_socket)" --strict \
    --export "good=$good,key-file=$passphrase" --export "bad=$bad,key-file=$wrong_key"
expect_failure 1 "image '$bad': no keyslot opens with this key" serve --unix "$(temp_socket)" --key-file "$wrong_key" "$bad"
expect_failure 1 "image '$bad': no keyslot opens with this key" serve --unix "$(temp_socket)" --export "bad=$bad,key-file=$wrong_key"
run_nbdcrypt serve --unix "$(temp_socket)" --key-file "$wrong_key" --export "good=$good" --export "bad=$bad"
expect_equal "status when none can be opened" 1 "$status"
expect_message "$err" "nbdcrypt: none of the 2 exports can be served"
