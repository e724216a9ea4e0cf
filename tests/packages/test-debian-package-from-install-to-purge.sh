#!/bin/bash
# The package in a fresh Debian with its systemd: nothing runs when it is installed; the README's first steps serve a disk, also after
# the service was started anew; an upgrade leaves the server and its clients alone and says so, and keeps a configuration that was
# changed; the package is not removed below a client; what was made for disks stays after a purge, and nothing else.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/debian-packages.sh"
. "$(dirname "$0")/../support/debian-machine.sh"

packages_built
machine_make
cp "$(package nbdcrypt)" "$(package nbdcrypt-attach)" "$(package nbdcrypt-bench)" "$machine_root/root/"
# Its other one takes credentials, which systemd in a namespace does not hand over; the guests with systemd have that.
cp "$package_sources/debian/tests/copy-in-and-out" "$machine_root/root/"

# The next version of the package: another one of the program, and of a configuration that nobody has changed.
dpkg-deb --raw-extract "$(package nbdcrypt)" "$test_dir/next"
sed -i -E 's/^(Version: .*)$/\1+next/' "$test_dir/next/DEBIAN/control"
printf '# the next one\n' >>"$test_dir/next/etc/nbdcrypt/nbdcrypt.conf"
printf 'the next one' >>"$test_dir/next/usr/bin/nbdcrypt"
mkdir "$machine_root/root/next"
dpkg-deb -Znone --root-owner-group --build "$test_dir/next" "$machine_root/root/next" >"$log_dir/next"

# The last two steps are for a machine with devices and for QEMU.
debian_steps >"$test_dir/steps"
sed -n '1,/ctl add/p' "$test_dir/steps" >"$machine_root/root/steps"
for command in 'apt install' 'systemctl enable' 'nbdcrypt format' 'ctl add'; do
    grep -q "$command" "$machine_root/root/steps" || fail "the README has other steps, without $command"
done

machine_run <<'SCRIPT' || fail "in the machine: $(tail -n 60 "$machine_output"; tail -n 20 "$log_dir/machine-console")"
failed() {
    status=$?
    [ "$status" -eq 0 ] || journalctl --no-pager --boot | grep -E 'nbdcrypt|systemd\[1\]: .*(fail|Fail)' | tail -n 40
    exit "$status"
}
trap failed EXIT
step() { echo "== $* ($(cut -d . -f 1 /proc/uptime) s)"; }
expect() { [ "$2" = "$3" ] || { echo "$1: expected '$2', got '$3'"; exit 1; }; }
until_so() {
    for _ in $(seq 300); do
        "$@" && return
        sleep 0.1
    done
    echo "it did not come to: $*"
    return 1
}
value() { systemctl show --property "$1" --value "$2"; }
apt() { apt-get --yes --quiet=2 -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"; }
uri=nbd+unix:///vm1?socket=/run/nbdcrypt/nbd.sock
has_clients() { [ "$(nbdcrypt ctl "$@" status | sed -n 's/^clients  *//p')" -eq 1 ]; }
mode() { stat -c '%a %U:%G' "$1"; }
cd /root

step "installed, nothing runs"
apt install ./nbdcrypt_*.deb
expect "state" inactive "$(value ActiveState nbdcrypt)"
for unit in nbdcrypt.service nbdcrypt.socket nbdcrypt-control.socket; do
    expect "$unit" disabled "$(systemctl is-enabled "$unit" || true)"
done
expect "folder of keys" "700 root:root" "$(mode /etc/nbdcrypt/keys)"
expect "folder of disks" "700 nbdcrypt:nbdcrypt" "$(mode /var/lib/nbdcrypt)"
nbdcrypt check --config /etc/nbdcrypt/nbdcrypt.conf
! nbdcrypt serve --raw rbd:pool/image 2>/tmp/rbd || exit 1
cat /tmp/rbd

step "the steps of the README"
. ./steps
expect "state" active "$(value ActiveState nbdcrypt)"
expect "at the next boot" enabled "$(systemctl is-enabled nbdcrypt)"
expect "size" 10737418240 "$(nbdinfo --size "$uri")"
systemctl restart nbdcrypt
expect "size after a restart" 10737418240 "$(nbdinfo --size "$uri")"

step "the tests that the package brings"
apt install ./nbdcrypt-bench_*.deb
AUTOPKGTEST_TMP=$(mktemp -d) sh ./copy-in-and-out

step "upgraded below a client"
nbdcrypt-bench --write 50 --verify --size 1M --depth 4 --time 600 "$uri" >/tmp/client 2>&1 &
client=$!
until_so has_clients
before=$(value MainPID nbdcrypt)
echo '# of the administrator' >>/etc/nbdcrypt/nbdcrypt.conf
apt install ./next/*.deb 2>&1 | tee /tmp/upgrade
grep "'systemctl restart nbdcrypt.service' takes the new one" /tmp/upgrade
expect "process" "$before" "$(value MainPID nbdcrypt)"
readlink "/proc/$before/exe" | grep deleted
kill -0 "$client"
has_clients
tail -n 1 /etc/nbdcrypt/nbdcrypt.conf | grep 'of the administrator'
systemctl reload nbdcrypt
nbdcrypt ctl exports | grep '^vm1'

step "not removed below a client"
! apt remove nbdcrypt >/tmp/remove 2>&1 || exit 1
cat /tmp/remove
grep 'nbdcrypt.service has clients (1), which would lose their disks' /tmp/remove
has_clients
kill -0 "$client"

step "the new version is taken"
systemctl restart nbdcrypt
! wait "$client" || exit 1
readlink "/proc/$(value MainPID nbdcrypt)/exe" | grep -v deleted

step "a server for one disk has a client"
mkdir -p /etc/systemd/system/nbdcrypt@vm7.service.d
printf '[server]\nunix = /run/nbdcrypt-vm7/nbd.sock\n[export vm7]\nimage = memory:4M\nraw = yes\n' >/etc/nbdcrypt/instances/vm7.conf
echo key >/etc/nbdcrypt/keys/vm7
systemctl start nbdcrypt@vm7
nbdcrypt-bench --time 600 'nbd+unix:///vm7?socket=/run/nbdcrypt-vm7/nbd.sock' >/tmp/vm7 2>&1 &
client=$!
until_so has_clients --socket /run/nbdcrypt-vm7/control
! apt remove nbdcrypt >/tmp/remove 2>&1 || exit 1
grep 'nbdcrypt@vm7.service has clients (1)' /tmp/remove
kill "$client"
wait "$client" || true
rm /etc/nbdcrypt/instances/vm7.conf /etc/nbdcrypt/keys/vm7
no_clients() { ! has_clients --socket /run/nbdcrypt-vm7/control; }
until_so no_clients

step "removed"
apt remove nbdcrypt 2>&1
expect "state" inactive "$(value ActiveState nbdcrypt)"
expect "state" inactive "$(value ActiveState nbdcrypt@vm7)"
[ ! -e /usr/bin/nbdcrypt ]
[ -e /etc/nbdcrypt/nbdcrypt.conf ]

step "purged: the disk stays"
dpkg --purge nbdcrypt-attach nbdcrypt 2>&1 | tee /tmp/purge
grep 'nbdcrypt: /var/lib/nbdcrypt is left: it is not empty' /tmp/purge
[ -s /var/lib/nbdcrypt/vm1.luks ]
[ ! -e /etc/nbdcrypt ]
rm /var/lib/nbdcrypt/vm1.*

step "purged: nothing stays"
apt install ./nbdcrypt_*.deb ./nbdcrypt-attach_*.deb
systemctl start nbdcrypt
dpkg --purge nbdcrypt-attach nbdcrypt 2>&1
find / -xdev -path '*nbdcrypt*' ! -path '/root/*' ! -path '/tmp/*' ! -path '*/nbdcrypt-bench*' ! -path '/var/lib/dpkg/*' \
    ! -path '/var/log/*' ! -path '*nbdcrypt[@-]vm7*' | tee /tmp/left
[ ! -s /tmp/left ]
echo the whole life
SCRIPT
expect_match "$machine_output" '^the whole life$'
