#!/bin/bash
# LUKS on RBD images: format, info, keys, headers, erase; what we write others read, and the other way round.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/ceph.sh"

requires cryptsetup --version
requires nbdcopy --version
# Without the driver that is what it says; with it, that there is no such cluster.
requires sh -c '! qemu-img info rbd:rbd/one:conf=/nowhere 2>&1 | grep -q "Unknown protocol"'

ceph_start memstore none
plain=$(temp_file) copy=$(temp_file) other_key=$(temp_file) backup=$test_dir/backup
make_pattern "$plain" 8M
printf 'a walrus on a bicycle' >"$other_key"
fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)

# ---- a volume of our own ----

ceph rbd create ours --size 32M
ours=$(ceph_image ours)
run_nbdcrypt format --key-file "$passphrase" --type luks2 "${fast[@]}" "$ours"
expect_equal "status of format: $(cat "$err")" 0 "$status"
expect_failure 1 "'$ours' is not empty: it holds a LUKS volume; give --force to overwrite it, which destroys what is there" \
    format --key-file "$passphrase" "${fast[@]}" "$ours"
expect_success info "$ours"
expect_match "$out" 'LUKS2'

start_nbdcrypt --key-file "$passphrase" "$ours"
nbdcopy --flush "$plain" "$uri"
nbdcopy "$uri" "$copy"
cmp --bytes=8388608 "$copy" "$plain"
nbdinfo --map "$uri" >"$copy"
expect_match "$copy" 'hole'
# Nobody else may write it meanwhile, and commands on its header say so.
expect_failure 1 "image '$ours&lock-wait=0': another client ($(ceph rbd status ours |
    sed -n 's/.*watcher=\([^ ]*\) .*/\1/p')) has it open for writing: is it being served already, or used by a virtual machine?  End that first" \
    key add --key-file "$passphrase" --new-key-file "$other_key" "${fast[@]}" "$ours&lock-wait=0"
expect_success info "$ours" # looking is free
stop_nbdcrypt

expect_success header backup "$ours" "$backup"
expect_success key add --key-file "$passphrase" --new-key-file "$other_key" "${fast[@]}" "$ours"
expect_success key remove --key-file "$passphrase" "$ours"
expect_success key test --key-file "$other_key" "$ours"

# cryptsetup and our own file backend read what lies in the cluster.
ceph rbd export --no-progress ours "$copy.raw" 2>>"$log_dir/rbd"
cryptsetup --batch-mode --disable-locks --key-file "$other_key" open --test-passphrase "$copy.raw"
start_nbdcrypt --key-file "$other_key" --read-only "$copy.raw"
nbdcopy "$uri" "$copy"
cmp --bytes=8388608 "$copy" "$plain"
stop_nbdcrypt
if grep -qaF "$(head -c 16 "$plain" | tr -d '\0\n')" "$copy.raw"; then
    fail "plaintext is in the cluster"
fi

expect_success erase --yes "$ours"
run_nbdcrypt key test --key-file "$other_key" "$ours"
expect_equal "status after erase" 1 "$status"
expect_success header restore --yes "$ours" "$backup"
expect_success key test --key-file "$passphrase" "$ours"

# ---- QEMU's own luks and rbd drivers read what we wrote, and we what they wrote ----

qemu_one="driver=luks,key-secret=secret0,file.driver=rbd,file.pool=rbd,file.image=one,file.conf=$ceph_conf"
ceph rbd create one --size 16M
expect_success format --type luks1 --key-file "$passphrase" "${fast[@]}" "$(ceph_image one)"
start_nbdcrypt --key-file "$passphrase" "$(ceph_image one)"
nbdcopy --flush "$plain" "$uri"
stop_nbdcrypt
qemu_img convert -O raw --image-opts "$qemu_one" "$copy"
cmp --bytes=8388608 "$copy" "$plain" || fail "QEMU reads something else than we wrote"
make_pattern "$copy" 8M 3
qemu_img convert -n -f raw "$copy" --target-image-opts "$qemu_one"
start_nbdcrypt --key-file "$passphrase" --read-only "$(ceph_image one)"
nbdcopy "$uri" "$copy.qemu"
stop_nbdcrypt
cmp --bytes=8388608 "$copy" "$copy.qemu" || fail "we read something else than QEMU wrote"

# ---- volumes that cryptsetup made, as image, snapshot and clone ----

encrypt_to_luks2 "$plain" "$copy"
ceph rbd import --no-progress "$copy" theirs 2>>"$log_dir/rbd"
ceph rbd snap create --no-progress theirs@then 2>>"$log_dir/rbd"
ceph rbd snap protect theirs@then
ceph rbd clone theirs@then child

start_nbdcrypt --export a="$(ceph_image theirs),key-file=$passphrase" \
    --export b="$(ceph_image theirs@then),key-file=$passphrase" \
    --export c="$(ceph_image child cache),key-file=$passphrase" --export "d=memory:4M,raw"
at() {
    echo "nbd+unix:///$1?socket=$socket"
}
nbdinfo "$(at b)" >"$log_dir/info"
expect_match "$log_dir/info" 'is_read_only: true'
python - "$(at b)" <<'EOF'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    client.flush()
    equal("a write to a snapshot", client.error_of(CMD_WRITE, 0, 4096, payload=b"x" * 4096), EPERM)
EOF
for name in a b c; do
    nbdcopy "$(at $name)" "$copy.$name"
    cmp "$copy.$name" "$plain"
done
make_pattern "$copy.new" 8M 2
nbdcopy "$copy.new" "$(at a)"
nbdcopy "$copy.new" "$(at c)"
cmp <(nbdcopy "$(at a)" -) "$copy.new"
cmp <(nbdcopy "$(at b)" -) "$plain"
cmp <(nbdcopy "$(at c)" -) "$copy.new"
stop_nbdcrypt
expect_failure 1 "image '$(ceph_image theirs@then)': it can't be written" \
    key add --key-file "$passphrase" --new-key-file "$other_key" "${fast[@]}" "$(ceph_image theirs@then)"
