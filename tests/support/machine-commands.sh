#!/bin/sh
# The first process of a machine that machine.py drives: each line that comes by the port "commands" is a command of the
# shell; its exit status and what it printed, in base64, go back as a line.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
port=
until [ -n "$port" ]; do
    for entry in /sys/class/virtio-ports/*; do
        [ "$(cat "$entry/name" 2>/dev/null)" != commands ] || port=/dev/${entry##*/}
    done
done
exec 3<>"$port"
echo ready >&3
while read -r line <&3; do
    status=0
    sh -c "$line" >/tmp/printed 2>&1 </dev/null 3>&- || status=$?
    echo "$status $(base64 /tmp/printed | tr -d '\n')" >&3
done
