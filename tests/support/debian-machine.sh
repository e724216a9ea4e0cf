# shellcheck shell=bash
# shellcheck disable=SC2154 # what functions.sh sets
# A small Debian whose systemd runs in namespaces of its own, for packages and what they do to services.  It has the kernel of
# this machine, and neither its network nor its devices.  Sourced after debian-packages.sh:
#
#     . "$(dirname "$0")/../support/debian-machine.sh"
#     machine_make
#     cp package.deb "$machine_root/root/"
#     machine_run <<'END' || fail "..."          runs the script there as root by sh -eu when the system is up
#     systemctl start nbdcrypt
#     END
#     expect_match "$machine_output" 'text'      what it printed, stderr among it

. "$support_dir/debian-system.sh"
requires unshare --version

machine_root=$test_dir/machine
machine_output=$log_dir/machine
machine_group=

machine_make() {
    local unit

    debian_unpack "$machine_root"
    # What would look for hardware and for file systems.
    for unit in remote-fs.target systemd-sysctl.service; do
        ln -sf /dev/null "$machine_root/etc/systemd/system/$unit"
    done
    cat >"$machine_root/etc/systemd/system/script.service" <<'UNIT'
[Unit]
Description=The script of a test
After=multi-user.target
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
Environment=HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
ExecStart=/bin/sh -eu /script
StandardOutput=append:/output
StandardError=inherit
UNIT
    cat >"$machine_root/etc/systemd/system/script.target" <<'UNIT'
[Unit]
Requires=multi-user.target
Wants=script.service
UNIT
}

machine_run() {
    local unified=/sys/fs/cgroup

    [ ! -d /sys/fs/cgroup/unified ] || unified=/sys/fs/cgroup/unified
    cat >"$machine_root/script"
    : >"$machine_root/output"
    machine_group=$unified/nbdcrypt-test-$$
    mkdir "$machine_group" 2>/dev/null || skip "no control group can be made here"
    status=0
    (
        echo "$BASHPID" >"$machine_group/cgroup.procs"
        exec timeout --kill-after=5 200 unshare --mount --pid --fork --kill-child --ipc --uts --net --cgroup \
            bash "$support_dir/debian-machine-init.sh" "$machine_root"
    ) </dev/null >"$log_dir/machine-console" 2>&1 || status=$?
    cp "$machine_root/output" "$machine_output"
    machine_forget_group
    return "$status"
}

# They are empty in a moment: those of the services, and that of the machine.
machine_remove_groups() {
    find "$machine_group" -depth -type d -exec rmdir {} + 2>/dev/null
}
machine_forget_group() {
    [ -n "$machine_group" ] || return 0
    wait_until 20 machine_remove_groups
    machine_group=
}
clean_up_test() {
    machine_forget_group
}
