#!/bin/bash
# The whole life of the service in a fresh system, as an administrator has it: installed, enabled, with a disk of a drop-in file that
# QEMU's client attaches over TLS; a second disk by ctl; the first client's certificate revoked, and the client gone; another
# passphrase, a larger disk, one that is suspended and resumed; the server stopped.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"
. "$(dirname "$0")/../support/guest-systemd.sh"

requires qemu-io --version
for program in install qemu-io; do
    guest_add "$(command -v "$program")" "/usr/local/bin/$program"
done

guest_run -- <<'SCRIPT' || fail "in the guest: $(cat "$guest_output")"
failed() {
    status=$?
    [ "$status" -eq 0 ] || journalctl --no-pager --boot | grep -vE 'kernel:|sysusers' | tail -n 40
    exit "$status"
}
trap failed EXIT
has_clients() { [ "$(nbdcrypt ctl status | sed -n 's/^clients  *//p')" -eq "$1" ]; }
# qemu CERTIFICATE DISK COMMAND...: QEMU's client.
qemu() {
    certificate=$1 disk=$2
    shift 2
    /usr/local/bin/qemu-io --object "tls-creds-x509,id=tls,endpoint=client,dir=/root/pki/clients/$certificate" "$@" --image-opts \
        "driver=nbd,server.type=inet,server.host=127.0.0.1,server.port=10809,export=$disk,tls-creds=tls,tls-hostname=localhost"
}
format() { nbdcrypt format --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 16M --key-file "$1" "$2" && chown nbdcrypt: "$2"; }

step "the first disk: certificates, a drop-in file"
nbdcrypt tls init /root/pki --host localhost --client vm1 >/dev/null
nbdcrypt tls client /root/pki backup >/dev/null
cp -r /root/pki/server /etc/nbdcrypt/pki/server
chgrp -R nbdcrypt /etc/nbdcrypt/pki/server
chmod -R g+rX /etc/nbdcrypt/pki/server
umask 077
head -c 64 /dev/urandom >/etc/nbdcrypt/keys/vm1
umask 022
format /etc/nbdcrypt/keys/vm1 /var/lib/nbdcrypt/vm1.luks
printf '[server]\nlisten = [::1]:10809\nlisten = 127.0.0.1:10809\n[tls]\ncertificates = /etc/nbdcrypt/pki/server\n' \
    >/etc/nbdcrypt/nbdcrypt.conf
mkdir -p /etc/systemd/system/nbdcrypt.service.d
printf '[Service]\nLoadCredential=vm1:/etc/nbdcrypt/keys/vm1\n' >/etc/systemd/system/nbdcrypt.service.d/vm1.conf
printf '[export vm1]\nimage = /var/lib/nbdcrypt/vm1.luks\nkey-credential = vm1\nallow = cert:CN=vm1\nallow = cert:CN=backup\n' \
    >/etc/nbdcrypt/conf.d/vm1.conf
nbdcrypt check --config /etc/nbdcrypt/nbdcrypt.conf
systemctl daemon-reload
systemctl enable --now nbdcrypt 2>/dev/null
printf 'description = the first disk\n' >>/etc/nbdcrypt/conf.d/vm1.conf
systemctl reload nbdcrypt

step "QEMU's client attaches it"
mkfifo /tmp/commands
qemu vm1 vm1 </tmp/commands >/tmp/vm1 2>&1 &
vm1=$!
exec 7>/tmp/commands
echo 'write -P 7 0 64k' >&7
until_so grep -q 'wrote 65536/65536' /tmp/vm1
has_clients 1

step "a second disk by ctl"
head -c 64 /dev/urandom >/tmp/vm2.key
format /tmp/vm2.key /var/lib/nbdcrypt/vm2.luks
nbdcrypt ctl add --key-fd 3 vm2 /var/lib/nbdcrypt/vm2.luks allow=cert:CN=backup 3</tmp/vm2.key
qemu backup vm2 -c 'write -P 9 0 64k' | grep -q 'wrote 65536/65536'
! qemu vm1 vm2 -c 'read 0 512' 2>/dev/null || exit 1
has_clients 1

step "the first client is revoked, and gone"
nbdcrypt tls revoke /root/pki vm1 >/dev/null
cp /root/pki/server/ca-crl.pem /etc/nbdcrypt/pki/server/ca-crl.pem
chgrp nbdcrypt /etc/nbdcrypt/pki/server/ca-crl.pem
chmod g+r /etc/nbdcrypt/pki/server/ca-crl.pem
systemctl reload nbdcrypt
until_so has_clients 0
! qemu vm1 vm1 -c 'read 0 512' 2>/dev/null || exit 1
qemu backup vm1 -c 'read -P 7 0 64k' | grep -q 'read 65536/65536'
exec 7>&-
wait "$vm1" || true

step "another passphrase, a larger disk"
umask 077
head -c 64 /dev/urandom >/etc/nbdcrypt/keys/vm1.new
nbdcrypt key change --pbkdf pbkdf2 --pbkdf-iterations 1000 --key-file /etc/nbdcrypt/keys/vm1 --new-key-file /etc/nbdcrypt/keys/vm1.new \
    /var/lib/nbdcrypt/vm1.luks
mv /etc/nbdcrypt/keys/vm1.new /etc/nbdcrypt/keys/vm1
umask 022
truncate -s 64M /var/lib/nbdcrypt/vm1.luks
nbdcrypt ctl rescan vm1
nbdcrypt ctl show vm1 | grep '^size'
qemu backup vm1 -c 'read 40M 4k' -c 'read -P 7 0 64k' | grep -q 'read 65536/65536'

step "suspended, and resumed"
nbdcrypt ctl suspend vm2
nbdcrypt ctl show vm2 | grep -q suspended
nbdcrypt ctl --key-fd 3 resume vm2 3</tmp/vm2.key
qemu backup vm2 -c 'read -P 9 0 64k' | grep -q 'read 65536/65536'

step "the control socket is systemd's"
systemctl stop nbdcrypt
systemctl enable --now nbdcrypt-control.socket 2>/dev/null
nbdcrypt ctl status | grep '^state  *serving'
[ "$(systemctl show --property ActiveState --value nbdcrypt)" = active ]
systemctl restart nbdcrypt
nbdcrypt ctl exports | grep '^vm1'

step "stopped"
systemctl stop nbdcrypt-control.socket nbdcrypt
[ "$(systemctl show --property Result --value nbdcrypt)" = success ]
echo the whole life
SCRIPT
expect_match "$guest_output" '^size .*(48|64)'
expect_match "$guest_output" '^the whole life$'
