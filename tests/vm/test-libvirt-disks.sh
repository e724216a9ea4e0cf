#!/bin/bash
# libvirt starts a machine with the disks of nbdcrypt-vm(7): by a Unix socket that a group may open, and under TLS with a key
# whose passphrase is a secret of libvirt; the key of a third volume is another one.
. "$(dirname "$0")/../support/functions.sh"
recipe_size=16M
if [ "$(id -u)" -eq 0 ]; then
    recipe_uid=65534 recipe_group=$(getent group 65534 | cut -d : -f 1)
fi
. "$(dirname "$0")/../support/vm-recipes.sh"
# shellcheck disable=SC2034 # it is for libvirt.sh
libvirt_machine=vm1
. "$(dirname "$0")/../support/libvirt.sh"

requires command -v xmllint
requires virt-xml-validate --version
requires openssl version
make_server_of_page
start_nbdcrypt --config "$root/etc/nbdcrypt/nbdcrypt.conf" --unix "$root/run/nbdcrypt/nbd.sock"
work=$(temp_dir)
start_libvirt "$work" < <(recipe libvirt-conf)
# What recipes call.
cat >"$test_dir/bin/virsh" <<END
#!/bin/sh
[ "\$(id -u)" -ne $(id -u) ] || set -- ${as_user[*]} $virsh --connect qemu:///session "\$@"
[ "\$(id -u)" -eq $(id -u) ] || set -- $virsh --connect qemu:///session "\$@"
exec "\$@"
END
chmod +x "$test_dir/bin/virsh"

# users_recipe NAME: by the user of libvirt, in a folder of his own.
users_recipe() {
    recipe "$1" >"$test_dir/script"
    (cd "$work" && "${as_user[@]}" env PATH="$PATH" bash -euo pipefail <"$test_dir/script") >"$log_dir/$1" 2>&1 ||
        fail "the recipe $1: $(cat "$test_dir/script" "$log_dir/$1")"
}
if [ "$(id -u)" -eq 0 ]; then chown -R 65534:65534 "$root/etc/pki/vm1"; fi
users_recipe libvirt-secret
expect_match "$root/etc/pki/vm1/client-key.pem" 'ENCRYPTED PRIVATE KEY'
virt-xml-validate "$work/secret.xml" secret >"$log_dir/validate" 2>&1 || fail "the secret is not valid: $(cat "$log_dir/validate")"

# disk_recipe NAME: with <reconnect>, where this libvirt knows it.
disk_recipe() {
    recipe "$1" >"$test_dir/disk.xml"
    grep -q 'reconnect delay' "$test_dir/disk.xml"
    if ! grep -q 'name="delay"' /usr/share/libvirt/schemas/storagecommon.rng; then
        note "$(virsh --version) is a libvirt that has no <reconnect delay>; without it"
        sed -i /reconnect/d "$test_dir/disk.xml"
    fi
    cat "$test_dir/disk.xml"
}
disk_recipe libvirt-disk-tls >"$root/data1.xml"
{
    cat <<'END'
<domain type='qemu'>
  <name>vm1</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
END
    disk_recipe libvirt-disk
    echo "</devices></domain>"
} >"$root/vm1.xml"
sed "/<devices>/r $root/data1.xml" "$root/vm1.xml" >"$test_dir/both.xml"
virt-xml-validate "$test_dir/both.xml" domain >"$log_dir/validate" 2>&1 || fail "the XML is not valid: $(cat "$log_dir/validate")"

virsh create --paused --validate "$root/vm1.xml" >"$log_dir/virsh" 2>&1 || fail "the machine does not start: $(cat "$log_dir/virsh")"
run_recipe libvirt-attach
expect_match "$out" '^ *vda +vm1'
expect_match "$out" '^ *vdb +data1'
expect_match "$server_log" "uid $recipe_uid: attached export 'vm1'"
expect_match "$server_log" "CN=vm1.*attached export 'data1'"
if [ "$(id -u)" -eq 0 ]; then
    ! setpriv --reuid=65533 --regid=65533 --clear-groups nbdinfo --size "nbd+unix:///vm1?socket=$root/run/nbdcrypt/nbd.sock" \
        2>"$log_dir/other-group" || fail "a user of another group may connect"
    expect_match "$log_dir/other-group" 'Permission denied'
fi
# What the machine would do, by its QEMU.
for device in virtio-disk0 virtio-disk1; do
    for command in "write -P 7 4k 64k" "read -P 7 4k 64k" flush; do
        virsh qemu-monitor-command vm1 --hmp "qemu-io -d /machine/peripheral/$device/virtio-backend \"$command\"" >>"$log_dir/qemu-io" 2>&1
    done
done
expect_equal "complaints of QEMU" "" "$(grep -E "failed|error|verif" "$log_dir/qemu-io" || true)"

users_recipe libvirt-key
run_recipe libvirt-key-used
"${as_user[@]}" nbdinfo --size "nbd+unix:///data3?socket=$root/run/nbdcrypt/nbd.sock" >"$log_dir/data3"
expect_equal "size of the third disk" 16777216 "$(cat "$log_dir/data3")"
expect_equal "keys in files" "data1 data2 vm1" "$(cd "$root/etc/nbdcrypt/keys" && echo *)"
virsh destroy vm1 >/dev/null
kill "$libvirtd_pid"
stop_nbdcrypt
