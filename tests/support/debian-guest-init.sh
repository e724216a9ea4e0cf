#!/bin/sh
# What the kernel of a guest that is a whole Debian starts first (see debian-guest.sh): it finds the disk and goes on with the
# systemd there.  The modules of the kernel, which is not that of a package in it, come along.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do
    case $module in nbd.*) ;; *) insmod "/modules/$module" || echo "init: no module $module" ;; esac
done </modules/order
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up
mkdir /disk
mount -t ext4 /dev/vda /disk || exec sh </dev/console
modules=/disk/lib/modules/$(uname -r)
if [ ! -e "$modules" ]; then
    mkdir -p "$modules"
    cp /modules/*.ko "$modules/"
    chroot /disk depmod "$(uname -r)"
fi
mount -t tmpfs -o mode=0755,nosuid,nodev run /disk/run
cp /script /guest-script /disk/run/
for folder in proc sys dev; do
    mount --move "/$folder" "/disk/$folder"
done
exec switch_root /disk /lib/systemd/systemd --show-status=false
