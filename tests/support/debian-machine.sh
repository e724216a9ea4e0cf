# shellcheck shell=bash
# shellcheck disable=SC2154 # what functions.sh sets
# A small Debian whose systemd runs in namespaces of its own, for packages and what they do to services.  It has the kernel of
# this machine, and neither its network nor its devices.  Sourced after functions.sh:
#
#     . "$(dirname "$0")/../support/debian-machine.sh"
#     machine_make libnbd-bin ...                packages of Debian that are in it
#     cp package.deb "$machine_root/root/"
#     machine_run <<'END' || fail "..."          runs the script there as root by sh -eu when the system is up
#     systemctl start nbdcrypt
#     END
#     expect_match "$machine_output" 'text'      what it printed, stderr among it
#
# Environment: DEBIAN_CACHE, a folder for the system, which is downloaded once (default: in the folder of the program).

[ "$(id -u)" -eq 0 ] || skip "it takes root to make a system of its own"
requires debootstrap --version
requires unshare --version

debian_cache=${DEBIAN_CACHE:-$(dirname "$NBDCRYPT")/tests/debian-cache}
machine_root=$test_dir/machine
machine_output=$log_dir/machine
machine_group=

# machine_make PACKAGE...
machine_make() {
    local archive
    # shellcheck disable=SC2046 # one word for each
    set -- $(printf '%s\n' systemd "$@" | sort -u)
    archive=$debian_cache/root-$(echo "$@" | cat - "$support_dir/debian-root.sh" | sha256sum | cut -c 1-12).tar.gz
    if ! bash "$support_dir/debian-root.sh" "$archive" "$@" >"$log_dir/debian-root" 2>&1; then
        [ "${CI-}" != true ] || fail "there is no Debian to install packages in, which CI must be able to download"
        skip "there is no Debian to install packages in: $(tail -n 1 "$log_dir/debian-root")"
    fi
    mkdir "$machine_root"
    tar --extract --gunzip --directory "$machine_root" --file "$archive"
    printf 'machine\n' >"$machine_root/etc/hostname"
    : >"$machine_root/etc/fstab"
    # What would look for hardware, for consoles and for other machines, or work at night.
    for unit in getty.target console-getty.service remote-fs.target systemd-sysctl.service apt-daily.timer apt-daily-upgrade.timer \
        dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-logind.service systemd-networkd.service; do
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
