#!/bin/bash
# The examples of nbdcrypt-tls(1) with pre-shared keys do what the page says.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls-peers.sh"
. "$(dirname "$0")/../support/tls-examples.sh"

requires nbdkit --version
requires nbdcopy --version
requires qemu-io --version
requires cryptsetup --version
disk=$(temp_file) work=$(temp_dir)
make_pattern "$disk" 2M
cd "$work"
encrypt_to_luks2 "$disk" "$work/disk.luks"
cp "$passphrase" key

run_example psk
serve_example serve-psk "$disk" --tls-psk=keys.psk
run_example nbdcopy-psk
cmp copy.raw "$disk"
run_example qemu-img-psk
qemu-img compare "$disk" copy.qcow2 >>"$log_dir/qemu-img" 2>&1 || fail "copy.qcow2 is not what is served"
run_example qemu-io-psk
expect_match "$out" 'read 65536/65536 bytes'
if [ "$TLS_SERVER" = nbdkit ]; then end_peer; else stop_nbdcrypt; fi
