# shellcheck shell=bash
# shellcheck disable=SC2154 # what functions.sh and guest.sh set
# udev in a guest with systemd: it makes the links in /dev/disk, and tells systemd of devices.  Sourced after
# guest-systemd.sh.  The package is downloaded once, and not installed: it would begin to rule this machine's /dev.

. "$support_dir/packages.sh"

guest_udev_download() {
    local folder=$guest_cache/udev

    mkdir -p "$guest_cache"
    exec 8>"$guest_cache/udev.lock"
    flock 8
    if [ ! -e "$folder" ]; then
        rm -rf "$folder.new" "$folder.package"
        packages_download udev "$folder.package" && dpkg -x "$folder.package"/*.deb "$folder.new" && mv "$folder.new" "$folder" || return
    fi
    flock -u 8
}
if ! guest_udev_download >"$log_dir/guest-udev" 2>&1; then
    [ "${CI-}" != true ] || fail "there is no udev for the guest, which CI must be able to download"
    skip "there is no udev for the guest: $(tail -n 1 "$log_dir/guest-udev")"
fi

# guest_udev_file PATH: of the package, which has it below /usr or not.
guest_udev_file() {
    local path=$guest_cache/udev/$1

    [ -e "$path" ] || path=$guest_cache/udev/usr/$1
    echo "$path"
}

guest_udev_install() {
    local unit units

    units=$(guest_udev_file lib/systemd/system)
    guest_put "$guest_root" "$(guest_udev_file bin/udevadm)" /usr/bin/udevadm
    mkdir -p "$guest_root"/usr/lib/{systemd/system,udev} "$guest_root"/etc/systemd/system/{sysinit,sockets}.target.wants
    ln -sf /usr/bin/udevadm "$guest_root/usr/lib/systemd/systemd-udevd"
    for unit in systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket; do
        cp "$units/$unit" "$guest_root/usr/lib/systemd/system/"
    done
    for unit in systemd-udevd systemd-udev-trigger; do
        ln -sf "/usr/lib/systemd/system/$unit.service" "$guest_root/etc/systemd/system/sysinit.target.wants/"
    done
    for unit in control kernel; do
        ln -sf "/usr/lib/systemd/system/systemd-udevd-$unit.socket" "$guest_root/etc/systemd/system/sockets.target.wants/"
    done
    cp -r "$(guest_udev_file lib/udev)/rules.d" "$guest_root/usr/lib/udev/"
    # The package of systemd has this one.
    cp /usr/lib/udev/rules.d/99-systemd.rules "$guest_root/usr/lib/udev/rules.d/" 2>/dev/null ||
        cp /lib/udev/rules.d/99-systemd.rules "$guest_root/usr/lib/udev/rules.d/"
}
guest_udev_install
