#!/bin/bash
# libvirt starts a virtual machine with the disk of nbdcrypt-tls(1): its QEMU writes to it under TLS, with the
# certificates of `nbdcrypt tls`, and does not start with those of another authority.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls-peers.sh"
. "$(dirname "$0")/../support/tls-examples.sh"

[ "$(uname -m)" = x86_64 ] || skip "the machine is an x86-64 one, and this one is not"
PATH=$PATH:/usr/sbin:/sbin
requires virsh --version
requires libvirtd --version
requires qemu-system-x86_64 --version
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
# A libvirt of a user's own, in folders of its own; root's would be the system's.
mkdir -m 700 run
mkdir -p home config/libvirt cache data
echo "nbd_tls_x509_cert_dir = \"$work/certificates\"" >config/libvirt/qemu.conf
as_user=(env HOME="$work/home" XDG_RUNTIME_DIR="$work/run" XDG_CONFIG_HOME="$work/config" XDG_CACHE_HOME="$work/cache"
    XDG_DATA_HOME="$work/data")
if [ "$(id -u)" -eq 0 ]; then
    as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups "${as_user[@]}")
    chown -R 65534:65534 "$work"
    chmod a+x "$test_dir" "$work"
fi
"${as_user[@]}" libvirtd >"$log_dir/libvirtd" 2>&1 &
libvirtd_pid=$!
remember_pid "$libvirtd_pid"
wait_until 30 test -S run/libvirt/libvirt-sock
# The machine and what keeps its log are no children of ours, and outlive their libvirtd.
clean_up_test() {
    local file other

    for file in "$work"/run/libvirt/{qemu/run/vm,virtlogd}.pid; do
        other=$(cat "$file" 2>/dev/null) || continue
        if cat "/proc/$other/cmdline" "/proc/$other/environ" 2>/dev/null | grep -qaF "$work"; then
            kill -KILL "$other"
        fi
    done
}
virsh() {
    timeout 60 "${as_user[@]}" virsh --connect qemu:///session "$@"
}

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
