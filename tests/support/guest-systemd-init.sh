#!/bin/sh
# What the kernel of a guest with systemd starts first (see guest-systemd.sh): what systemd needs to be there, then systemd.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do
    insmod "/modules/$module" || echo "init: no module $module"
done </modules/order
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up
rm -rf /var/run
ln -s /run /var/run
# The first root file system of a kernel can't be moved, which services with file systems of their own do.
mkdir /root-file-system
mount --bind / /root-file-system
for folder in proc sys dev; do
    mount --move "/$folder" "/root-file-system/$folder"
done
cd /root-file-system || exit
mount --move . /
exec chroot . /lib/systemd/systemd
