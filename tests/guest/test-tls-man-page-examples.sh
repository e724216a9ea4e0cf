#!/bin/bash
# The examples of nbdcrypt-tls(1) for a virtual machine's disk and for nbd-client do what the page says: what the
# machine writes to its disk through QEMU's client, the kernel's client reads.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"
. "$(dirname "$0")/../support/tls-examples.sh"

requires cryptsetup --version
requires nbdcopy --version
# shellcheck disable=SC2034 # TLS_SERVER is for tls-examples.sh
pattern=$(temp_file) work=$(temp_dir) TLS_SERVER=nbdcrypt
make_pattern "$pattern" 2M
cd "$work"
format_luks2 "$work/disk.luks" 32M
cp "$passphrase" key
run_example init
serve_example serve-x509 none
guest_add "$pattern" /pattern

# qemu-system-x86_64 ... OPTION...: what stands behind the dots.
qemu_options=$(example qemu-system-x509 | sed -e 's/^qemu-system-x86_64 \.\.\. //' \
    -e 's/server\.port=10809/server.port='"$port"'/')
eval "qemu_options=(${qemu_options//$'\\\n'/})"
# For the guest, this machine is `host`; the certificate names localhost.
nbd_client=$(example nbd-client-x509 | sed -e "s/^nbd-client localhost/nbd-client host $port/")

{ echo "cd /" && cat <<'END' && echo "$nbd_client" && cat <<'END2'; } >"$test_dir/script"
mkfs.ext4 -q /dev/vda
mount /dev/vda /mnt
cp /pattern /mnt/kept
umount /mnt
END
mount -o ro /dev/nbd0 /mnt
cmp /pattern /mnt/kept
umount /mnt
nbd-client -d /dev/nbd0
echo both have read the same
END2
guest_add pki/clients/client /pki/clients/client
guest_run -- "${qemu_options[@]}" <"$test_dir/script" || fail "in the guest: $(cat "$guest_output")"
expect_match "$guest_output" '^both have read the same$'
expect_equal "complaints of the server, which demands certificates" "" "$(complaints)"
stop_nbdcrypt
