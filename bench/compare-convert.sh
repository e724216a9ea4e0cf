#!/bin/bash
# Copies of a disk by nbdcrypt convert, nbdcopy and qemu-img convert, in turns: wall clock time and CPU time of each.
#
#     bench/compare-convert.sh [ROUNDS [MIB]]      in the build folder; 3 rounds of 1024 MiB by default
#
#     raw-nbdcrypt raw-nbdcopy raw-qemu-img        a file to a file, durable at the end
#     luks-nbdcrypt luks-served                    into a LUKS2 volume: convert; nbdcopy into an export of it
#
# FOLDER is where the files are (default: /dev/shm, so that the disk does not count).
here=$(cd "$(dirname "$0")" && pwd)
export TEST_TIMEOUT_S=3600
. "$here/../tests/support/functions.sh"

requires nbdcopy --version
requires qemu-img --version
rounds=${1:-3} mib=${2:-1024}
folder=$(mktemp -d "${FOLDER:-/dev/shm}/nbdcrypt-convert.XXXXXX")
clean_up_test() { rm -rf "$folder"; }
source=$folder/source target=$folder/target
head -c "${mib}M" /dev/urandom >"$source"
fast=(--key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000)

copy() {
    case $1 in
    raw-nbdcrypt) "$NBDCRYPT" convert --from-format raw --to-format raw "$source" "$target" ;;
    raw-nbdcopy) nbdcopy --flush "$source" "$target" ;;
    raw-qemu-img) qemu-img convert -f raw -O raw "$source" "$target" ;;
    luks-nbdcrypt) "$NBDCRYPT" convert --from-format raw "${fast[@]}" "$source" "$target" ;;
    luks-served)
        "$NBDCRYPT" format "${fast[@]}" --size "${mib}M" "$target" >/dev/null
        # shellcheck disable=SC2016 # the server's shell expands it
        source=$source "$NBDCRYPT" serve --key-file "$passphrase" --run 'nbdcopy --flush "$source" "$uri"' "$target"
        ;;
    esac
}

TIMEFORMAT='%R %U %S'
printf '%-16s%12s%12s%16s\n' COPY SECONDS MB/S 'CPU NS/KIB'
for ((round = 1; round <= rounds; round++)); do
    for how in raw-nbdcrypt raw-nbdcopy raw-qemu-img luks-nbdcrypt luks-served; do
        rm -f "$target"
        { time copy "$how" >/dev/null 2>"$log_dir/copy"; } 2>"$log_dir/time"
        awk -v how="$how" -v mib="$mib" '{ printf "%-16s%12.2f%12.0f%16.0f\n", how, $1, mib * 1.048576 / $1, ($2 + $3) * 1e9 / mib / 1024 }' \
            "$log_dir/time"
    done
done
cmp "$source" <("$NBDCRYPT" convert --to-format raw --source-key-file "$passphrase" "$target" "$folder/back" >/dev/null && cat "$folder/back")
