#!/bin/sh
# What the kernel of a guest starts first (see guest.sh): makes the machine usable and goes on with guest-script.sh.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
ln -s /proc/self/fd /dev/fd
while read -r module; do
    insmod "/modules/$module" || echo "init: no module $module"
done </modules/order
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up
exec sh /guest-script
