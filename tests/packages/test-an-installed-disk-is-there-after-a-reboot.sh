#!/bin/bash
# The README's steps in a Debian that boots from its own disk: the packages are installed, the service runs, a disk is added, attached
# by name and mounted.  The server is killed and comes back, the packages do not go below the disk, the machine is rebooted: the data
# is there, mounted, and no step was by hand.  The tests of the installed service that the package brings pass as well.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"
. "$(dirname "$0")/../support/debian-packages.sh"

packages_built
. "$(dirname "$0")/../support/debian-guest.sh"
cp "$(package nbdcrypt)" "$(package nbdcrypt-attach)" "$debian_guest_root/root/"
cp "$package_sources/debian/tests/service" "$debian_guest_root/root/autopkgtest"
debian_steps | grep -vx '' >"$test_dir/steps"
# An emulated machine that starves takes its time.
export GUEST_TIMEOUT_S=700
# QEMU's step is for another machine.
sed '/^qemu-system/,/path=/d' "$test_dir/steps" >"$debian_guest_root/root/steps"
for command in 'apt install' 'systemctl enable --now nbdcrypt' 'ctl add' 'systemctl enable --now nbdcrypt-attach@vm1'; do
    grep -q "$command" "$debian_guest_root/root/steps" || fail "the README has other steps, without $command"
done
cat >"$debian_guest_root/root/functions" <<'SCRIPT'
failed() {
    status=$?
    [ "$status" -eq 0 ] || { systemctl --no-pager --failed; journalctl --no-pager --boot | grep -E 'nbd|fail|Fail' | tail -n 60; }
    exit "$status"
}
trap failed EXIT
step() { echo "== $* ($(cut -d . -f 1 /proc/uptime) s)" | tee /dev/console; }
expect() { [ "$2" = "$3" ] || { echo "$1: expected '$2', got '$3'"; exit 1; }; }
value() { systemctl show --property "$1" --value "$2"; }
until_so() {
    for _ in $(seq 300); do
        "$@" && return
        sleep 0.1
    done
    echo "it did not come to: $*"
    return 1
}
apt() { apt-get --yes --quiet=2 -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 "$@"; }
cd /root
SCRIPT

debian_guest_run <<'SCRIPT' || fail "in the guest: $(cat "$guest_output")"
. /root/functions
step "the steps of the README"
# What was under way when the server is killed is sent again after so long.
mkdir /etc/nbdcrypt
echo 'vm1 vm1 timeout=10' >/etc/nbdcrypt/nbdtab
. ./steps
step "it is attached by its name"
until_so test -b /dev/disk/by-nbd/vm1
expect "device" /dev/nbd0 "$(readlink -f /dev/disk/by-nbd/vm1)"
nbdcrypt attached
mkfs.ext4 -q /dev/disk/by-nbd/vm1
echo '/dev/disk/by-nbd/vm1 /srv ext4 _netdev,x-systemd.requires=nbdcrypt-attach@vm1.service 0 0' >>/etc/fstab
mount /srv
head -c 1M /dev/urandom >/srv/data
sha256sum /srv/data >/root/sums
sync -f /srv

step "the server is killed"
before=$(value MainPID nbdcrypt)
kill -KILL "$before"
head -c 1M /dev/urandom >/srv/more
sha256sum /srv/more >>/root/sums
sync -f /srv
echo 3 >/proc/sys/vm/drop_caches
sha256sum --check --quiet /root/sums
[ "$(value MainPID nbdcrypt)" != "$before" ]
systemctl restart nbdcrypt
echo 3 >/proc/sys/vm/drop_caches
sha256sum --check --quiet /root/sums

step "the packages do not go below it"
for package in nbdcrypt-attach "nbdcrypt nbdcrypt-attach"; do
    ! dpkg --remove $package >/tmp/remove 2>&1 || exit 1
    grep "the disk 'vm1' is attached as /dev/nbd0" /tmp/remove || { cat /tmp/remove; exit 1; }
done
expect "of the packages" 'installed installed ' "$(dpkg-query --show --showformat '${db:Status-Status} ' nbdcrypt nbdcrypt-attach)"
expect "of the device" active "$(value ActiveState nbdcrypt-attach@vm1)"
sha256sum --check --quiet /root/sums
step "it is rebooted"
SCRIPT

debian_guest_run <<'SCRIPT' || fail "in the guest: $(cat "$guest_output")"
. /root/functions
step "after the reboot"
sha256sum --check --quiet /root/sums
grep ' /srv ext4 ' /proc/mounts
expect "errors since then" '' "$(journalctl --no-pager --boot --dmesg --grep 'I/O error|EXT4-fs error' --quiet)"
expect "errors at the end of the time before" '' "$(journalctl --no-pager --boot -1 --dmesg --grep 'I/O error|EXT4-fs error' --quiet)"
nbdcrypt attached

step "removed"
systemctl stop srv.mount nbdcrypt-attach@vm1
expect "attached" 1 "$(nbdcrypt attached | wc -l)"
dpkg --purge nbdcrypt-attach
[ ! -e /dev/disk/by-nbd/vm1 ]

step "what the package brings to test the service"
sh -x ./autopkgtest
echo all is there
SCRIPT
note "$(cat "$log_dir"/guest-[12] | grep '^==' | tr '\n' ';')"
expect_match "$guest_output" '^all is there$'
