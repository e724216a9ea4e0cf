#!/bin/bash
# Many exports whose keys take much memory (Argon2): no more of them are opened at a time than there are CPUs, however many
# wait, and on one CPU the server has little more memory at its peak than with one of them.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires taskset --version
is_sanitized && skip "sanitizers keep what was freed"

exports=12 argon2_kib=65536

image=$(temp_file)
truncate --size=17M "$image"
cryptsetup_quietly luksFormat --type luks2 --pbkdf argon2id --pbkdf-memory $argon2_kib --pbkdf-parallel 1 \
    --pbkdf-force-iterations 4 "$image"

# measure_peak ARGUMENT...: of a server that has opened all of them.  Sets $peak_kib.
measure_peak() {
    start_nbdcrypt --threads 4 --key-file "$passphrase" "$@"
    peak_kib=$(awk '/^VmHWM:/ { print $2 }' "/proc/$pid/status")
    stop_nbdcrypt
}

measure_peak "$image"
one_kib=$peak_kib
[ "$one_kib" -ge $argon2_kib ] || fail "one export took only $one_kib KiB: the key derivation is not what was asked for"
several=()
for ((i = 1; i <= exports; i++)); do
    cp "$image" "$image.$i"
    several+=(--export "disk$i=$image.$i")
done
# check_peak CPUS: on so many.
check_peak() {
    measure_peak "${several[@]}"
    note "peak with one export: $one_kib KiB, with $exports on $1 CPUs: $peak_kib KiB"
    [ "$peak_kib" -le $((one_kib + ($1 - 1) * argon2_kib + exports * 512)) ] ||
        fail "$exports exports took $peak_kib KiB, one takes $one_kib KiB"
}
cpus=$(nproc)
check_peak $((cpus < exports ? cpus : exports))
first_cpu=$(taskset --pid --cpu-list $$)
first_cpu=${first_cpu##*: }
taskset --pid --cpu-list "${first_cpu%%[-,]*}" $$ >"$log_dir/taskset"
check_peak 1
