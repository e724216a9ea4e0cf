#!/bin/bash
# libvirt starts a virtual machine with the disk of nbdcrypt-tls(1): its QEMU writes to it under TLS, with the
# certificates of `nbdcrypt tls`, and does not start with those of another authority.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls-peers.sh"
. "$(dirname "$0")/../support/tls-examples.sh"
. "$(dirname "$0")/../support/libvirt.sh"

disk=$(temp_file) work=$(temp_dir)
make_pattern "$disk" 2M
cd "$work"
encrypt_to_luks2 "$disk" "$work/disk.luks"
cp "$passphrase" key
run_example init
"$NBDCRYPT" tls init others --host localhost >/dev/null
serve_example serve-x509 none

# At first those of the other authority.
ln -sfn "$work/others/clients/client" certificates
start_libvirt "$work" <<<"nbd_tls_x509_cert_dir = \"$work/certificates\""

{
    cat <<'END'
<domain type='qemu'>
  <name>vm</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
END
    example libvirt | sed "s/port='10809'/port='$port'/"
    echo "</devices></domain>"
} >vm.xml

! virsh create --paused vm.xml >"$log_dir/virsh-others" 2>&1 || fail "a client of another authority is served"
# What QEMU said stands in its log in any case, and in what virsh says if libvirtd was fast enough to read it.
cat cache/libvirt/qemu/log/vm.log >>"$log_dir/virsh-others"
expect_match "$log_dir/virsh-others" 'certificate'

ln -sfn "$work/pki/clients/client" certificates
virsh create --paused vm.xml >"$log_dir/virsh" 2>&1 || fail "the machine does not start: $(cat "$log_dir/virsh")"
virsh domblkinfo vm vda >"$log_dir/domblkinfo"
expect_match "$log_dir/domblkinfo" '^Capacity: +2097152$'
# What the machine would do, by its QEMU.
virsh qemu-monitor-command vm --hmp \
    'qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "write -P 7 4k 64k"' >"$log_dir/qemu-io" 2>&1
virsh qemu-monitor-command vm --hmp 'qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend flush' \
    >>"$log_dir/qemu-io" 2>&1
virsh destroy vm >/dev/null
kill "$libvirtd_pid"
run_example nbdcopy-x509
head -c 65536 /dev/zero | tr '\0' '\007' | dd of="$disk" bs=4096 seek=1 conv=notrunc status=none
cmp copy.raw "$disk"
stop_nbdcrypt
