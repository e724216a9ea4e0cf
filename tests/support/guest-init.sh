#!/bin/sh
# What the kernel of a guest starts first (see guest.sh): makes the machine usable, runs /script and
# tells its exit status.
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

# port NAME: the device of this virtio-serial port, once it is there.
port() {
    tries=0
    while [ "$tries" -lt 200 ]; do
        for entry in /sys/class/virtio-ports/*; do
            if [ "$(cat "$entry/name" 2>/dev/null)" = "$1" ]; then
                echo "/dev/${entry##*/}"
                return
            fi
        done
        tries=$((tries + 1))
        sleep 0.02
    done
}
output=$(port output)
exec 3>"$(port status)"
sh -eu /script >"$output" 2>&1 </dev/null 3>&-
echo "$?" >&3
sync
poweroff -f
