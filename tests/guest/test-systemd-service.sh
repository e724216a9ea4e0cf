#!/bin/bash
# Installed by `make install` and started by a real systemd, nbdcrypt.service is ready when it is started, has its keys as
# credentials, tells a reload that failed, is started anew when it dies or hangs, is found through its socket, and loses nothing when
# it is stopped below a client that writes; nbdcrypt@.service serves one disk as a user of its own.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"
. "$(dirname "$0")/../support/guest-systemd.sh"

pattern=$(temp_file)
make_pattern "$pattern" 16M
guest_add "$pattern" /pattern
guest_run -- <<'SCRIPT' || fail "in the guest: $(cat "$guest_output")"
value() { systemctl show --property "$1" --value "$2"; }
expect() { [ "$2" = "$3" ] || { echo "$1: expected '$2', got '$3'"; exit 1; }; }
journal_has() { journalctl --no-pager --unit "$1" --boot | grep -E -- "$2" >/dev/null; }
attach() { nbd-client 127.0.0.1 10809 /dev/nbd0 -N "$1" -b 4096 >/dev/null; }
serves_again() { attach vm1 2>/dev/null && nbd-client -d /dev/nbd0 >/dev/null; }
has_served_times() { [ "$(value NRestarts nbdcrypt)" -ge "$1" ] && [ "$(value ActiveState nbdcrypt)" = active ]; }
format() {
    nbdcrypt format --size 32M --pbkdf pbkdf2 --pbkdf-iterations 1000 --key-file "$1" "$2"
}
step_failed() {
    status=$?
    [ "$status" -eq 0 ] || { systemctl --no-pager --lines 0 status 'nbdcrypt*'; journalctl --no-pager --boot | grep -vE 'kernel:|sysusers' | tail -n 40; }
    exit "$status"
}
trap step_failed EXIT

step "the first disk: its key is root's, and a credential"
umask 077
printf 'an elephant in a rowing boat' >/etc/nbdcrypt/keys/vm1
umask 022
format /etc/nbdcrypt/keys/vm1 /var/lib/nbdcrypt/vm1.luks
chown nbdcrypt: /var/lib/nbdcrypt/vm1.luks
printf '[tls]\nmode = on\npsk = /etc/nbdcrypt/pki/psk\n' >/etc/nbdcrypt/nbdcrypt.conf
echo 'vm1:00112233445566778899aabbccddeeff' >/etc/nbdcrypt/pki/psk
chgrp nbdcrypt /etc/nbdcrypt/pki/psk
chmod 0640 /etc/nbdcrypt/pki/psk
printf '[export vm1]\nimage = /var/lib/nbdcrypt/vm1.luks\nkey-credential = vm1\n' >/etc/nbdcrypt/conf.d/vm1.conf
mkdir -p /etc/systemd/system/nbdcrypt.service.d
printf '[Service]\nLoadCredential=vm1:/etc/nbdcrypt/keys/vm1\n' >/etc/systemd/system/nbdcrypt.service.d/keys.conf
systemctl daemon-reload
systemctl enable --now nbdcrypt 2>/dev/null
attach vm1 # at once: started means ready
expect "status line" "1 of 1 exports are served" "$(value StatusText nbdcrypt)"
expect "owner" nbdcrypt "$(stat -c %U "/proc/$(value MainPID nbdcrypt)/task")"
systemctl --no-pager status nbdcrypt | grep 'Status: "1 of 1 exports are served"'
journal_has nbdcrypt "attached export 'vm1'"
nbdcrypt ctl status | grep '^state  *serving'
# The journal knows what a line is about.
has_field() { journalctl --no-pager --unit nbdcrypt --boot --output json NBDCRYPT_EXPORT=vm1 NBDCRYPT_CLIENT=1 | grep -q "\"MESSAGE_ID\":\"$attached\""; }
attached=31983969c09444f79b879726aa3d03f7
until_so has_field
journalctl --update-catalog
journalctl --no-pager --catalog --boot "MESSAGE_ID=$attached" | grep 'A client has attached an export'
# Its own sandbox, inside of systemd's.
nbdcrypt ctl status | grep -E '^sandbox +auto, .*no new privileges, writes to the system, system calls, programs, rings' || { nbdcrypt ctl status; exit 1; }

step "reloads"
systemctl reload nbdcrypt
echo 'this is no key' >/etc/nbdcrypt/pki/psk
! systemctl reload nbdcrypt 2>/dev/null || exit 1
journal_has nbdcrypt "psk.*line 1"
expect "after a failed reload" active "$(value ActiveState nbdcrypt)"
echo 'vm1:00112233445566778899aabbccddeeff' >/etc/nbdcrypt/pki/psk
systemctl reload nbdcrypt

step "stopped below a client that writes"
dd if=/pattern of=/dev/nbd0 bs=64K oflag=direct >/tmp/dd 2>&1 &
writer=$!
until_so grep -qE ' [1-9][0-9]*$' /sys/block/nbd0/inflight
systemctl stop nbdcrypt
nbd-client -d /dev/nbd0 >/dev/null 2>&1 || true # what waits for an answer gets none
wait "$writer" || true
written=$(sed -n 's/+.* records out//p' /tmp/dd)
expect "result of the stop" success "$(value Result nbdcrypt)"
journal_has nbdcrypt "ending: answering what is in flight"
! journal_has nbdcrypt "(error|warning):.*(write|flush)" || exit 1
echo "answered before the end: $written of 256 writes"

step "its socket is systemd's"
systemctl enable --now nbdcrypt.socket 2>/dev/null
expect "before a client comes" inactive "$(value ActiveState nbdcrypt)"
attach vm1
expect "when one has come" active "$(value ActiveState nbdcrypt)"
dd if=/dev/nbd0 bs=64K count="$written" iflag=direct 2>/dev/null >/tmp/read
cmp -n $((written * 65536)) /pattern /tmp/read || [ "$written" -eq 0 ]
nbd-client -d /dev/nbd0 >/dev/null

step "it dies"
kill -KILL "$(value MainPID nbdcrypt)"
serves_again
has_served_times 1

step "it hangs"
printf '[Service]\nWatchdogSec=5\n' >/etc/systemd/system/nbdcrypt.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart nbdcrypt
kill -STOP "$(value MainPID nbdcrypt)"
until_so journal_has nbdcrypt 'Watchdog timeout'
serves_again
until_so has_served_times 1
journal_has nbdcrypt "result 'watchdog'"

step "a disk with a server, a user and a key of its own"
cp -p /etc/nbdcrypt/keys/vm1 /etc/nbdcrypt/keys/vm7
mkdir -p /var/lib/private/nbdcrypt-vm7
format /etc/nbdcrypt/keys/vm7 /var/lib/private/nbdcrypt-vm7/disk.luks
cat >/etc/nbdcrypt/instances/vm7.conf <<'END'
[server]
unix = /run/nbdcrypt-vm7/nbd.sock
[export vm7]
image = /var/lib/nbdcrypt-vm7/disk.luks
key-credential = key
END
systemctl start nbdcrypt@vm7
nbd-client -unix /run/nbdcrypt-vm7/nbd.sock /dev/nbd0 -N vm7 >/dev/null
dd if=/pattern of=/dev/nbd0 bs=64K count=4 conv=fsync 2>/dev/null
uid=$(sed -n 's/^Uid:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$(value MainPID nbdcrypt@vm7)/status")
[ "$uid" -ge 61184 ] || { echo "the instance runs as user $uid, and not as one of its own"; exit 1; }
systemctl reload nbdcrypt@vm7
nbd-client -d /dev/nbd0 >/dev/null
systemctl stop nbdcrypt@vm7 nbdcrypt.socket nbdcrypt
expect "at the end of the instance" success "$(value Result nbdcrypt@vm7)"
expect "at the end" success "$(value Result nbdcrypt)"
SCRIPT
