# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what is set here is for the tests, or by functions.sh
# Loop devices and mounts, which are taken away at the end of the test.  Sourced after functions.sh; skips where they
# can't be had, as for ordinary users.

[ "$(id -u)" -eq 0 ] || skip "devices are made by root only"
PATH=$PATH:/usr/sbin:/sbin
requires losetup --version

loops=() mounts=()
clean_up_test() {
    local one

    for one in "${mounts[@]+"${mounts[@]}"}"; do
        ! mountpoint --quiet "$one" || umount "$one"
    done
    for one in "${loops[@]+"${loops[@]}"}"; do
        blockdev --setrw "$one" # which it would remember for whoever has it next
        losetup --detach "$one"
    done
}

# new_loop FILE [OPTION...]: sets $loop.
new_loop() {
    local file=$1

    shift
    loop=$(losetup --find --show "$@" "$file" 2>"$log_dir/losetup") ||
        skip "no loop device can be made here: $(cat "$log_dir/losetup")"
    loops+=("$loop")
}

# drop_loop DEVICE: detaches it now; at the end it may be somebody else's.
drop_loop() {
    local one kept=()

    for one in "${loops[@]}"; do
        [ "$one" = "$1" ] || kept+=("$one")
    done
    loops=("${kept[@]+"${kept[@]}"}")
    losetup --detach "$1"
}

# numbers_of DEVICE: as in 7:0.
numbers_of() {
    stat --format=%Hr:%Lr "$1"
}

# second_node NUMBERS: makes another node of the device and prints its name.
second_node() {
    local node=$test_dir/node-${1/:/-}

    [ -e "$node" ] || mknod "$node" b "${1%:*}" "${1#*:}"
    echo "$node"
}

# mount_device DEVICE: sets $mounted, the folder.
mount_device() {
    mounted=$(temp_dir)
    blockdev --setrw "$1" # a loop device remembers that its last user had it read-only
    mount "$1" "$mounted" 2>"$log_dir/mount" || skip "nothing can be mounted here: $(cat "$log_dir/mount")"
    mounts+=("$mounted")
}

device_in_use="it, a partition of it or the disk that it is on is in use (mounted, swap, part of another device, or \
open in a program that wants it alone, such as another server); end that first, or give --force-in-use"
