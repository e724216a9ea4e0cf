#!/bin/bash
# No secret is in a report, nor in the log: no passphrase, no volume key, no pre-shared key, nothing of a command, no password in an
# image or in metadata.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/report-functions.sh"

control=$(temp_socket)
image=$test_dir/disk.luks
printf 'SECRET-passphrase' >"$test_dir/key"
"$NBDCRYPT" format --key-file "$test_dir/key" --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 1M "$image" >"$test_dir/out" 2>&1
printf 'somebody:%s\n' "$(printf 'SECRET-of-psk-0123456789' | od -An -tx1 | tr -d ' \n')" >"$test_dir/psk"
chmod 600 "$test_dir/psk" "$test_dir/key"
plain=$(temp_file)
truncate --size=1M "$plain"
cat >"$test_dir/nbdcrypt.conf" <<END
[server]
unix = $test_dir/socket
[tls]
psk = $test_dir/psk
mode = on
[export by-command]
image = $image
key-command = sh -c "printf SECRET-passphrase"
metadata org.example = {"user":"me","password":"SECRET-in-json","api_token": "SECRET-token","size":4}
metadata org.other = login=me password=SECRET-in-text
[export missing]
image = nbd://me:SECRET-of-uri@127.0.0.1:1/disk
[export missing-too]
raw = yes
image = nbdkit:nothing?file=x&auth=SECRET-of-plugin&passwordfile=SECRET-path&header=Authorization: Bearer SECRET-of-header&cookie=a=1; b=SECRET-of-cookie
END
sed -i '/SECRET-of-uri/d; /^\[export missing\]$/d' "$test_dir/nbdcrypt.conf" # a configuration refuses it
chmod 600 "$test_dir/nbdcrypt.conf"
start_nbdcrypt --report-directory "$reports" --control "$control" --config "$test_dir/nbdcrypt.conf"
"$NBDCRYPT" ctl --socket "$control" add plain "$plain" raw=yes

expect_none() {
    local file

    for file in "$@"; do
        [ -s "$file" ] || fail "$file is empty"
        grep -aE 'SECRET|5345435245542' "$file" >&2 && fail "a secret is in $file"
        "$PYTHON" -c '
import sys
data = open(sys.argv[1], "rb").read()
sys.exit(any(secret in data for secret in (b"SECRET", b"SECRET".hex().encode())))' "$file" || fail "a secret is in $file"
    done
}
kill -USR1 "$pid"
wait_for_report asked
expect_in_report 'key-command = \*\*\*'
expect_in_report 'key_source = key-command'
expect_in_report 'namespace = org.example'
expect_in_report '"password":"\*\*\*","api_token": "\*\*\*"'
expect_in_report 'password=\*\*\*'
expect_in_report 'auth=\*\*\*'
expect_in_report 'header=\*\*\*&cookie=\*\*\*'
expect_none "$report" "$json"
"$NBDCRYPT" ctl --socket "$control" report >"$test_dir/text"
"$NBDCRYPT" ctl --socket "$control" --json report >"$test_dir/json"
expect_none "$test_dir/text" "$test_dir/json"
kill -ABRT "$pid"
wait "$pid" || true
wait_for_report crash
expect_none "$report" "$json" "$server_log"

# An image of the command line, which may have one in it.
start_nbdcrypt --raw --retry-exports 0 --report-directory "$reports" --export "disk=$plain" \
    --export 'far=nbd://me:SECRET-of-uri@127.0.0.1:1/disk'
kill -USR1 "$pid"
wait_for_report asked 2
expect_in_report 'image = nbd://.*\*\*\*@127.0.0.1:1/disk'
expect_match "$server_log" 'nbd://me:\*\*\*@127.0.0.1:1/disk'
expect_none "$report" "$json" "$server_log"
