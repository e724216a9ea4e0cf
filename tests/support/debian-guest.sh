# shellcheck shell=bash
# shellcheck disable=SC2154 # what functions.sh, guest.sh and debian-system.sh set
# A guest (see guest.sh) that is a whole Debian on a disk of its own, with systemd, udev and dpkg: what is done in it is there after
# a reboot.  Sourced after guest.sh and debian-packages.sh:
#
#     . "$(dirname "$0")/../support/debian-guest.sh"
#     cp package.deb "$debian_guest_root/root/"      before it boots for the first time
#     debian_guest_run <<'END' || fail "..."         runs the script when the system is up, then ends the system as systemctl reboot does
#     apt install /root/package.deb
#     END
#     debian_guest_run <<'END'                       once more, with the same disk
#     END

. "$support_dir/debian-system.sh"
requires mkfs.ext4 -V
debian_guest_root=$test_dir/debian
debian_guest_disk=

debian_guest_prepare() {
    debian_unpack "$debian_guest_root"
    cat >"$debian_guest_root/etc/systemd/system/guest-script.service" <<'UNIT'
[Unit]
Description=The script of a test
After=multi-user.target
[Service]
Type=exec
Environment=HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "GUEST_END=systemctl --no-block reboot"
ExecStart=/bin/sh /run/guest-script
StandardInput=null
StandardOutput=tty
StandardError=inherit
TTYPath=/dev/console
UNIT
    cat >"$debian_guest_root/etc/systemd/system/guest.target" <<'UNIT'
[Unit]
Description=The script of a test
Requires=multi-user.target
Wants=guest-script.service
UNIT
    ln -sf /etc/systemd/system/guest.target "$debian_guest_root/etc/systemd/system/default.target"
    # Not the first start: units that are not enabled stay so.
    printf '0123456789abcdef0123456789abcdef\n' >"$debian_guest_root/etc/machine-id"
    cp "$support_dir/debian-guest-init.sh" "$guest_root/init"
    chmod +x "$guest_root/init"
}

debian_guest_run() {
    if [ -z "$debian_guest_disk" ]; then
        debian_guest_disk=$(temp_file)
        mkfs.ext4 -q -F -E root_owner=0:0 -d "$debian_guest_root" "$debian_guest_disk" 3G >"$log_dir/mkfs" 2>&1 || fail "mkfs.ext4"
        rm -rf "$debian_guest_root"
    fi
    guest_run -- -drive "file=$debian_guest_disk,format=raw,if=none,id=disk,cache=unsafe,discard=unmap" -device virtio-blk-pci,drive=disk
}

debian_guest_prepare
