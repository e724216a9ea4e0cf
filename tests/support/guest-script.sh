#!/bin/sh
# What a guest's init starts in the end (see guest.sh): runs /script and tells its exit status.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C

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
sh -eu "$(dirname "$0")/script" >"$output" 2>&1 </dev/null 3>&-
echo "$?" >&3
sync
${GUEST_END-busybox poweroff -f}
