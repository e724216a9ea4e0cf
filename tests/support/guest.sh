# shellcheck shell=bash
# shellcheck disable=SC2154 # what functions.sh sets
# A small virtual machine with a kernel of its own, for what takes root or a kernel's module.  Sourced after
# functions.sh:
#
#     . "$(dirname "$0")/../support/guest.sh"
#     guest_add "$file" /data               a file in the guest; a program takes its libraries along
#     guest_run -- -drive ... <<'END'          runs the script as root by sh -eu; options are QEMU's
#     nbd-client host 1234 /dev/nbd0
#     END
#     expect_match "$guest_output" 'nbd0'   what it printed, stderr among it
#
# In the guest, `host` is 10.0.2.2, which is the loopback of this machine: any port of 127.0.0.1 can be reached,
# and nothing else.  Disks are /dev/vda and so on.  There are busybox, nbd-client, mkfs.ext4 and blkdiscard.
#
# Environment: GUEST_CACHE, a folder for the kernel and the initramfs, which are made once (default: in the
# folder of the program); GUEST_KERNEL, a folder with the .deb files of a kernel to take instead of Debian's
# (with a GUEST_CACHE of its own); GUEST_TIMEOUT_S (200).

. "$support_dir/guest-files.sh"

guest_cache=${GUEST_CACHE:-$(dirname "$NBDCRYPT")/tests/guest-cache}
guest_root=$test_dir/guest
guest_count=0

[ "$(uname -m)" = x86_64 ] || skip "the guest is an x86-64 machine, and this one is not"
requires qemu-system-x86_64 --version
requires busybox true
requires dash -c true
PATH=$PATH:/usr/sbin:/sbin
requires command -v mkfs.ext4
requires command -v nbd-client
requires command -v blkdiscard

if ! bash "$support_dir/guest-image.sh" "$guest_cache" >"$log_dir/guest-image" 2>&1; then
    [ "${CI-}" != true ] || fail "there is no kernel for the guest, which CI must be able to download"
    skip "there is no kernel for the guest: $(tail -n 1 "$log_dir/guest-image")"
fi
guest_skeleton "$guest_root"
cp "$support_dir/guest-script.sh" "$guest_root/guest-script"
guest_layers=("$guest_cache/base.cpio") # what is unpacked before the test's own files

# guest_add FILE [DESTINATION]: for the next guest_run and those after it; a folder goes as a whole.
guest_add() {
    if [ -d "$1" ]; then
        mkdir -p "$guest_root/${2-$1}"
        cp --recursive --dereference "$1/." "$guest_root/${2-$1}/"
    else
        guest_put "$guest_root" "$1" "${2-$1}"
    fi
}

# For tests of nbdcrypt attach, which takes a library that not everybody has.
guest_requires_attach() {
    [[ $(ldd "$NBDCRYPT") != *libnl-genl* ]] || return 0
    [ "${CI-}" != true ] || fail "the program was built without libnl-genl-3, which CI must install"
    skip "this build has no libnl-genl-3"
}

# Where the processor can't virtualise, QEMU calculates what the guest's does.  /dev/kvm alone says nothing: there
# are machines on which it exists and boots no kernel of a distribution.
guest_machine() {
    if [ -w /dev/kvm ] && grep -qwE 'vmx|svm' /proc/cpuinfo; then
        echo -accel kvm -cpu host
    else
        # Five levels of page tables would only be slower.
        echo -accel tcg,thread=multi -cpu max,la57=off
    fi
}

# What its kernel can't find out by itself when this machine is busy: an emulated one has the time stamp counter of this
# one.  A kernel that measured it wrongly has a clock that runs several times too fast, and limits of time that are
# shorter than they say; one that has not seen its first timer interrupts in time does not boot.
guest_clock() {
    local khz

    khz=$("$(dirname "$NBDCRYPT")/tests/support/tsc-khz" 2>/dev/null) || khz=
    echo "no_timer_check${khz:+ tsc_early_khz=$khz}"
}

guest_has_ended() {
    ! kill -0 "$1" 2>/dev/null
}

# What stands before each script in the guest.  A server that ends before it is ready must not be waited for.
guest_prelude() {
    cat <<'END'
echo "the script begins" >/dev/console
# wait_for FILE PID LOG: until the process has written the file.
wait_for() {
    while [ ! -s "$1" ]; do
        if ! kill -0 "$2" 2>/dev/null; then
            echo "the process ended before it was ready:"
            cat "$3"
            exit 1
        fi
        sleep 0.05
    done
}
# step WORDS...: where it is, also on the console, which is read while the script runs.
step() { echo "== $* ($(cut -d . -f 1 /proc/uptime) s)" | tee /dev/console; }
# until_so COMMAND...: tries it for a minute at least.
until_so() {
    for _ in $(seq 1200); do
        "$@" && return
        sleep 0.05
    done
    echo "it did not come to: $*"
    return 1
}
END
}

# guest_run -- [QEMU-OPTION...] <SCRIPT: returns the script's exit status; $guest_output is what it printed.
# A machine that does not come to the script at all is started once more: an emulated one may hang while it boots.
guest_run() {
    local work machine

    shift # the --
    guest_count=$((guest_count + 1))
    work=$(temp_dir)
    guest_output=$log_dir/guest-$guest_count
    { guest_prelude && cat; } >"$guest_root/script"
    { cat "${guest_layers[@]}" && guest_pack "$guest_root"; } >"$work/initrd"
    read -r -a machine <<<"$(guest_machine)"
    if ! guest_start "$@" && ! guest_began; then
        note "the guest did not boot; once more"
        guest_start "$@" || true
    fi
    rm "$work/initrd"
    guest_began || fail "the guest did not boot"
    [ -s "$work/status" ] || fail "the guest did not come to the end of its script; it printed: $(cat "$guest_output")"
    return "$(cat "$work/status")"
}

guest_began() {
    grep -q 'the script begins' "$log_dir/guest-$guest_count-console"
}

# guest_start [QEMU-OPTION...]: for guest_run, whose variables it uses; fails when the guest does not end in time.
guest_start() {
    local qemu_pid deadline

    : >"$guest_output"
    rm -f "$work/status"
    qemu-system-x86_64 -M q35 "${machine[@]}" -m 512 -smp 2 \
        -nodefaults -no-user-config -display none -no-reboot \
        -kernel "$guest_cache/vmlinuz" -initrd "$work/initrd" \
        -append "console=ttyS0 quiet panic=-1 nokaslr mitigations=off tsc=reliable random.trust_cpu=on cryptomgr.notests $(guest_clock)" \
        -chardev "file,id=console,path=$log_dir/guest-$guest_count-console" -serial chardev:console \
        -device virtio-serial-pci \
        -chardev "file,id=output,path=$guest_output" -device virtserialport,chardev=output,name=output \
        -chardev "file,id=status,path=$work/status" -device virtserialport,chardev=status,name=status \
        -netdev user,id=net -device virtio-net-pci,netdev=net,romfile= \
        -device virtio-rng-pci "$@" </dev/null >"$log_dir/guest-$guest_count-qemu" 2>&1 &
    qemu_pid=$!
    remember_pid "$qemu_pid"
    deadline=$((SECONDS + ${GUEST_TIMEOUT_S:-200}))
    until guest_has_ended "$qemu_pid"; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            kill -KILL "$qemu_pid"
            wait "$qemu_pid" || true
            return 1
        fi
        sleep 0.05
    done
    wait "$qemu_pid" || note "QEMU ended with status $?"
}
