#!/bin/bash
# Partitions of a disk are served side by side, the disk and a partition of it are not.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/loop-devices.sh"

requires command -v addpart
fast=(--key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000)
disk=$(temp_file)
truncate --size=64M "$disk"
new_loop "$disk" --partscan

# partition NUMBER: in sysfs; no table is needed, and no node.
partition() {
    echo "/sys/class/block/${loop#/dev/}/${loop#/dev/}p$1"
}
for number in 1 2; do
    addpart "$loop" "$number" $((2048 + (number - 1) * 61440)) 61440 2>"$log_dir/addpart" ||
        skip "loop devices have no partitions here: $(cat "$log_dir/addpart")"
done
first=$(second_node "$(cat "$(partition 1)/dev")") last=$(second_node "$(cat "$(partition 2)/dev")")

start_nbdcrypt --raw "$first"
on_first=$pid
start_nbdcrypt --raw "$last"
stop_nbdcrypt
expect_failure 1 "image '$loop': $device_in_use" serve --raw --unix "$(temp_socket)" "$loop"
expect_failure 1 "image '$loop': $device_in_use" serve --raw --unix "$(temp_socket)" --read-only "$loop"
pid=$on_first
stop_nbdcrypt
start_nbdcrypt --raw "$loop"
expect_failure 1 "image '$first': $device_in_use" format --force "${fast[@]}" "$first"
stop_nbdcrypt

# One server: several exports; image and header on one disk.
start_nbdcrypt --raw --export "a=$first" --export "b=$last"
stop_nbdcrypt
# They are opened side by side, so either may come too late.
run_nbdcrypt serve --strict --raw --unix "$(temp_socket)" --export "a=$loop" --export "b=$first"
expect_equal "exit status with a disk and a partition of it" 1 "$status"
expect_match "$err" "^nbdcrypt: image '($loop|$first)': "
expect_success format "${fast[@]}" --header "$first" "$last"
start_nbdcrypt --key-file "$passphrase" --header "$first" "$last"
stop_nbdcrypt
