#!/bin/bash
# A disk that is attached by nbdtab and mounted by fstab, as an administrator has it, with systemd: it is there after a
# reboot, without a step by hand; at the end it is unmounted and detached before the server stops; a restart of the server
# and of the unit below a mounted file system harms nothing.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"
. "$(dirname "$0")/../support/guest-systemd.sh"
. "$(dirname "$0")/../support/guest-udev.sh"

guest_requires_attach
disk=$(temp_file)
truncate --size=80M "$disk" # what stays over a reboot
guest_add /lib/systemd/system-generators/systemd-fstab-generator /lib/systemd/system-generators/systemd-fstab-generator
for program in mount umount systemd-escape; do
    guest_add "$(command -v "$program")" "/usr/bin/$program"
done
guest_add "$passphrase" /etc/nbdcrypt/keys/vm7

# What an installed system has on its disk stands in files that both boots have; the script is another one.
mkdir -p "$guest_root/etc/nbdcrypt/conf.d"
chmod 600 "$guest_root/etc/nbdcrypt/keys/vm7"
printf '[export vm7]\nimage = /dev/vda\nkey-file = /etc/nbdcrypt/keys/vm7\n' >"$guest_root/etc/nbdcrypt/conf.d/vm7.conf"
: >"$guest_root/etc/nbdcrypt/nbdcrypt.conf"
printf '[Service]\nUser=root\nGroup=root\nCapabilityBoundingSet=~\nDevicePolicy=auto\n' >"$test_dir/drop-in"
mkdir -p "$guest_root/etc/systemd/system/nbdcrypt.service.d"
cp "$test_dir/drop-in" "$guest_root/etc/systemd/system/nbdcrypt.service.d/root.conf"
boot() { guest_run -- -drive "file=$disk,format=raw,if=none,id=disk,cache=writethrough" -device virtio-blk-pci,drive=disk; }
cat >"$test_dir/prelude" <<'SCRIPT'
failed() {
    status=$?
    [ "$status" -eq 0 ] || { systemctl --no-pager --failed; journalctl --no-pager --boot | grep -vE "kernel:|sysusers" | tail -n 60; }
    exit "$status"
}
trap failed EXIT
SCRIPT
{ cat "$test_dir/prelude" - <<'SCRIPT'; } >"$test_dir/first"
step "the first time"
nbdcrypt format --pbkdf pbkdf2 --pbkdf-iterations 1000 --key-file /etc/nbdcrypt/keys/vm7 /dev/vda >/dev/null
systemctl start nbdcrypt
nbdcrypt attach --persist vm7
cat /etc/nbdcrypt/nbdtab
mkfs.ext4 -q /dev/disk/by-nbd/vm7
mount /dev/disk/by-nbd/vm7 /mnt
echo 'written before the reboot' >/mnt/kept
umount /mnt
nbdcrypt detach vm7
systemctl stop nbdcrypt
SCRIPT
boot <"$test_dir/first" || fail "in the guest: $(cat "$guest_output")"

# Where an answer takes longer than the time limit, the kernel asks again and again, and has none: an emulated machine took
# up to 3 s for a first read when the real one was busy.
printf 'vm7 vm7 timeout=5\n' >"$guest_root/etc/nbdcrypt/nbdtab"
echo '/dev/disk/by-nbd/vm7 /srv ext4 _netdev,x-systemd.requires=nbdcrypt-attach@vm7.service 0 0' \
    >"$guest_root/etc/fstab"
mkdir -p "$guest_root/srv" "$guest_root/etc/systemd/system/multi-user.target.wants"
for unit in /usr/local/lib/systemd/system/nbdcrypt.service /usr/lib/systemd/system/remote-fs.target; do
    ln -s "$unit" "$guest_root/etc/systemd/system/multi-user.target.wants/"
done
{ cat "$test_dir/prelude" - <<'SCRIPT'; } >"$test_dir/second"
value() { systemctl show --property "$1" --value "$2"; }
step "after the reboot"
until_so grep /srv /proc/mounts
systemctl --no-pager list-units 'nbdcrypt*' srv.mount
[ "$(value ActiveState nbdcrypt-attach@vm7)" = active ]
[ "$(value StatusText nbdcrypt-attach@vm7)" = /dev/nbd0 ]
nbdcrypt attached
[ "$(readlink -f /dev/disk/by-nbd/vm7)" = /dev/nbd0 ]
grep 'written before the reboot' /srv/kept
is_looked_after() { [ "$(value NRestarts nbdcrypt-attach@vm7)" -ge 1 ] && [ "$(value ActiveState nbdcrypt-attach@vm7)" = active ] && nbdcrypt attached --json | grep '"supervisor": [0-9]'; }
step "restarts below a mounted file system"
systemctl restart nbdcrypt
echo more >/srv/more
sync -f /srv
kill -KILL "$(value MainPID nbdcrypt-attach@vm7)"
until_so is_looked_after
systemctl restart nbdcrypt
echo 3 >/proc/sys/vm/drop_caches
grep more /srv/more
step "a restart of the unit takes the mount along"
systemctl restart nbdcrypt-attach@vm7
[ "$(value ActiveState nbdcrypt-attach@vm7)" = active ]
until_so grep more /srv/more
step "the order at the end"
case " $(value Before nbdcrypt-attach@vm7) " in *' remote-fs-pre.target '*) ;; *) exit 1 ;; esac
case " $(value After srv.mount) " in *' nbdcrypt-attach@vm7.service '*) ;; *) exit 1 ;; esac
systemctl stop srv.mount nbdcrypt-attach@vm7 nbdcrypt
[ "$(value Result nbdcrypt-attach@vm7)" = success ]
[ "$(nbdcrypt attached | wc -l)" -eq 1 ]
until_so [ ! -e /dev/disk/by-nbd/vm7 ]
journalctl --no-pager --unit nbdcrypt-attach@vm7 --boot
step "all done"
SCRIPT
boot <"$test_dir/second" || fail "in the guest: $(cat "$guest_output")"
note "$(grep '^==' "$guest_output" | tr '\n' ';')"
expect_match "$guest_output" '^written before the reboot'
expect_match "$guest_output" '^== all done'
