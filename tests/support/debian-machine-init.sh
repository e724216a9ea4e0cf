#!/bin/bash
# What is the first process of a small Debian in namespaces of its own (see debian-machine.sh): what systemd needs to be there,
# then systemd.
#
#     debian-machine-init.sh ROOT
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mount -t proc -o nosuid,noexec,nodev proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro,nosuid,noexec,nodev sysfs sys
mount -t cgroup2 -o nosuid,noexec,nodev cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=0755,nosuid dev dev
for device in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 0666 "dev/${device%:*}" c 1 "${device#*:}"
done
mknod -m 0666 dev/tty c 5 0
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for name in stdin:0 stdout:1 stderr:2; do
    ln -s "/proc/self/fd/${name#*:}" "dev/${name%:*}"
done
mount -t tmpfs -o mode=1777,nosuid,nodev shm dev/shm
mount -t tmpfs -o mode=0755,nosuid,nodev run run
mkdir -p mnt
pivot_root . mnt
cd /
umount --lazy /mnt
exec env --ignore-environment PATH="$PATH" container=test /lib/systemd/systemd --unit=script.target --show-status=false --log-target=journal
