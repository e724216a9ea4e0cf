#!/bin/bash
# The examples of nbdcrypt-tls(1) with certificates do what the page says.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls-peers.sh"
. "$(dirname "$0")/../support/tls-examples.sh"

requires nbdkit --version
requires nbdcopy --version
requires nbdsh --version
requires qemu-io --version
requires cryptsetup --version
disk=$(temp_file) work=$(temp_dir)
make_pattern "$disk" 2M
cd "$work"
encrypt_to_luks2 "$disk" "$work/disk.luks"
cp "$passphrase" key

expect_disk() {
    qemu-img compare "$disk" "$1" >>"$log_dir/qemu-img" 2>&1 || fail "$1 is not what is served"
}

run_example init
serve_example serve-x509 "$disk" --tls-certificates=pki/server --tls-verify-peer
run_example nbdcopy-x509
cmp copy.raw "$disk"
run_example nbdsh-x509
expect_message "$out" 2097152
run_example qemu-img-x509
expect_disk copy.qcow2
run_example qemu-io-x509
expect_match "$out" 'read 65536/65536 bytes'
run_example nbdcopy-x509
expect_equal "bytes that are not 7" 0 "$(head -c 65536 copy.raw | tr -d '\007' | wc -c)"
if [ "$TLS_SERVER" = nbdkit ]; then end_peer; else stop_nbdcrypt; fi
run_example client
expect_match "$out" '^1 certificate of backup is revoked\.$'
run_example renew
expect_match "$out" '^pki/server/server-cert.pem +ok '
