#!/bin/bash
# Makes what guests with systemd boot beside what all guests boot (see guest-systemd.sh and guest-image.sh): FILE, an
# initramfs of this machine's systemd, with as few of its units as a system needs.
#
#     guest-systemd-image.sh FILE
#
# Nothing happens when it is there.  Several may call it at once.  The last line on stderr says why it failed.
set -euo pipefail
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin

here=$(cd "$(dirname "$0")" && pwd)
. "$here/guest-files.sh"

programs='/lib/systemd/systemd /lib/systemd/systemd-executor /lib/systemd/systemd-journald /lib/systemd/systemd-shutdown
    /usr/bin/systemctl /usr/bin/journalctl /usr/bin/systemd-sysusers /usr/bin/systemd-tmpfiles /usr/bin/systemd-run
    /usr/bin/systemd-notify'
# Of those that others ask for by name; all targets, slices and the journal's come besides.
services='systemd-journald systemd-journal-flush systemd-sysusers systemd-tmpfiles-setup'
# What would want more than these is left out: consoles, clocks, hardware.
wanted='sysinit.target/systemd-journald.service sysinit.target/systemd-sysusers.service
    sysinit.target/systemd-tmpfiles-setup.service sockets.target/systemd-journald.socket
    sockets.target/systemd-journald-dev-log.socket'

cannot() {
    echo "guest-systemd-image.sh: $*" >&2
    exit 1
}

file=$1
mkdir -p "$(dirname "$file")"
exec 9>"$file.lock"
flock 9
[ ! -e "$file" ] || exit 0
[ -x /lib/systemd/systemd ] || cannot "systemd is not installed here"
work=$(mktemp -d "$file.work.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
guest_skeleton "$root"
mkdir -p "$root"/etc/systemd/system "$root"/var/log/journal "$root"/usr/lib/systemd/system "$root"/usr/lib/{sysusers,tmpfiles}.d

for program in $programs; do
    [ ! -x "$program" ] || guest_put "$root" "$program" "$program"
done
units=/lib/systemd/system
for unit in "$units"/*.target "$units"/*.slice "$units"/systemd-journald*.socket; do
    # Other packages have some, too.
    case $(basename "$unit") in
    *crypt* | *libvirt* | *ceph* | *nfs* | *rpc*) ;;
    *) cp --no-dereference "$unit" "$root$units/" ;;
    esac
done
for unit in $services; do
    cp "$units/$unit.service" "$root$units/"
done
for unit in $wanted; do
    mkdir -p "$root$units/${unit%/*}.wants"
    ln -s "../${unit#*/}" "$root$units/${unit%/*}.wants/${unit#*/}"
done
ln -sf guest.target "$root$units/default.target"
for list in basic systemd-journal; do
    cp "/usr/lib/sysusers.d/$list.conf" "$root/usr/lib/sysusers.d/"
done
cp /usr/lib/tmpfiles.d/{systemd,tmp,var}.conf "$root/usr/lib/tmpfiles.d/"
printf '[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\n' >"$root/etc/systemd/journald.conf"
printf '[Manager]\nLogLevel=notice\nShowStatus=no\n' >"$root/etc/systemd/system.conf"
head -c 16 /dev/zero | od -An -v -tx1 | tr -d ' \n' | tr 0 1 >"$root/etc/machine-id"
: >"$root/etc/fstab"
cat >"$root$units/guest.target" <<'UNIT'
[Unit]
Description=The script of a test
Requires=multi-user.target
Wants=guest-script.service
After=multi-user.target
AllowIsolate=yes
UNIT
cat >"$root$units/guest-script.service" <<'UNIT'
[Unit]
Description=The script of a test
After=multi-user.target
[Service]
ExecStart=/bin/sh /guest-script
StandardInput=null
StandardOutput=tty
StandardError=inherit
TTYPath=/dev/console
UNIT
cp "$here/guest-systemd-init.sh" "$root/init"
chmod +x "$root/init"
guest_pack "$root" >"$work/cpio"
mv "$work/cpio" "$file"
