#!/bin/bash
# What stands commented out in the configuration that packages bring is right when it is taken in: those who come by TCP need TLS, with
# the files that `nbdcrypt tls init` makes there, and local clients and `attach` do not.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
root=$test_dir/root socket=$test_dir/nbd.sock control=$test_dir/control
mkdir -p "$root"/{etc/nbdcrypt/keys,var/lib/nbdcrypt}
# A setting or a section stands right behind its "#", words do not.
sed -E "s/^#([^ ])/\1/; s,/(etc|var)/,$root/&,; s,//,/,g; s,/run/nbdcrypt/nbd.sock,$socket,; s/0\.0\.0\.0:10809/127.0.0.1:0/
    s/uid:vm1/uid:$(id -u)/" "${top_srcdir:-$source_dir}/dist/nbdcrypt.conf" >"$test_dir/nbdcrypt.conf"
for word in listen certificates mode image key-credential allow; do
    expect_match "$test_dir/nbdcrypt.conf" "^$word = "
done
"$NBDCRYPT" tls init "$root/etc/nbdcrypt/pki" --host localhost --client vm1 >/dev/null
"$NBDCRYPT" format --pbkdf pbkdf2 --pbkdf-iterations 1000 --key-file "$passphrase" --size 1M "$root/var/lib/nbdcrypt/vm1.luks" >/dev/null
mkdir "$test_dir/credentials"
cp "$passphrase" "$test_dir/credentials/vm1"
export CREDENTIALS_DIRECTORY=$test_dir/credentials
"$NBDCRYPT" check --config "$test_dir/nbdcrypt.conf" >"$log_dir/check" || fail "$(cat "$log_dir/check")"
start_nbdcrypt --config "$test_dir/nbdcrypt.conf" --unix "$socket" --control "$control"

expect_equal "size for a local client" 1048576 "$(nbdinfo --size "nbd+unix:///vm1?socket=$socket")"
"$NBDCRYPT" ctl --socket "$control" status >"$log_dir/status"
expect_match "$log_dir/status" '^tls  *require-tcp$'
port=$(sed -nE 's,^addresses.*nbds?://127\.0\.0\.1:([0-9]+).*,\1,p; s,^ +nbds?://127\.0\.0\.1:([0-9]+).*,\1,p' "$log_dir/status" | head -n 1)
! nbdinfo --size "nbd://127.0.0.1:$port/vm1" 2>"$log_dir/plain" || fail "it is served without TLS"
expect_match "$log_dir/plain" 'TLS'
stop_nbdcrypt
