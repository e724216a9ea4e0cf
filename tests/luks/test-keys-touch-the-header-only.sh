#!/bin/bash
# Commands on keys, tokens and headers read and write nothing behind the header with its keyslots, and no more of it than
# they need: nbdkit writes down what they ask for.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdkit --filter=log null --run true
fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
printf second >"$test_dir/second"
printf '{"type":"example","keyslots":["0"]}' >"$test_dir/token.json"

# expect_within BYTES READ_KIB WRITTEN_KIB ARGUMENT...: of nbdcrypt, with $uri in it; so much is read and written at most,
# and nothing at or behind BYTES.
expect_within() {
    local end=$1 read_kib=$2 written_kib=$3

    shift 3
    : >"$requests"
    expect_success "$@"
    python - "$requests" "$end" "$read_kib" "$written_kib" "$*" <<'END'
import re
import sys

log, end, read_kib, written_kib, command = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
count = {"Read": 0, "Write": 0, "Trim": 0, "Zero": 0}
for line in open(log):
    match = re.search(r" (Read|Write|Trim|Zero) id=\d+ offset=0x([0-9a-f]+) count=0x([0-9a-f]+) ", line)
    if match:
        offset, length = int(match[2], 16), int(match[3], 16)
        count[match[1]] += length
        if offset + length > end:
            raise AssertionError(f"{command}: {match[0]} ends behind byte {end}")
print(f"{command}: {count}", file=sys.stderr)
if not 0 < count["Read"] <= read_kib << 10 or count["Write"] > written_kib << 10 or count["Trim"] or count["Zero"]:
    raise AssertionError(f"{command}: {count}")
if written_kib > 0 and count["Write"] == 0:
    raise AssertionError(f"{command}: nothing was written")
END
}

# serve_image IMAGE: sets $uri and $requests.
serve_image() {
    local socket

    socket=$(temp_socket)
    requests=$(temp_file)
    uri="nbd+unix:///?socket=$socket"
    nbdkit --foreground --unix "$socket" --filter=log file "$1" logfile="$requests" >"$log_dir/nbdkit" 2>&1 &
    remember_pid $!
    wait_until 20 test -S "$socket"
}

# One keyslot has 256,000 bytes of material (key of 64 bytes).
slot=252
for type in luks1 luks2; do
    image=$(temp_file)
    truncate --size=40M "$image"
    if [ "$type" = luks1 ]; then
        end=$((4096 + 8 * 258048 - 2048)) header=4
        cryptsetup_quietly luksFormat --type luks1 --key-size 512 --offset 65536 --pbkdf-force-iterations 1000 "$image"
    else
        end=$((32768 + 2097152)) header=64
        cryptsetup_quietly luksFormat --type luks2 --key-size 512 --offset 65536 --luks2-keyslots-size 2M \
            "${fast_pbkdf[@]}" "$image"
    fi
    payload=$(sha256_of <(tail -c +$((end + 1)) "$image"))
    serve_image "$image"
    one=$((header + slot)) # the header and a key
    marks=256 # where other formats have theirs, before anything is written
    expect_within $end $one 0 info "$uri"
    expect_within $end $one 0 key list "$uri"
    expect_within $end $((2 * one)) 0 key test --key-file "$passphrase" "$uri"
    expect_within $end $((6 * one + marks)) $((2 * one)) \
        key add --key-file "$passphrase" --new-key-file "$test_dir/second" "${fast[@]}" "$uri"
    expect_within $end $((12 * one + marks)) $((3 * one)) \
        key change --key-file "$test_dir/second" --new-key-file "$test_dir/second" "${fast[@]}" "$uri"
    expect_within $end $((8 * one + marks)) $((2 * one)) key remove --key-file "$test_dir/second" "$uri"
    if [ "$type" = luks2 ]; then
        expect_within $end $((2 * one + marks)) $header header discard "$uri" on
        expect_within $end $((2 * one + marks)) $header token import "$uri" "$test_dir/token.json"
        expect_within $end $one 0 token list "$uri"
        expect_within $end $((2 * one + marks)) $header token remove --token 0 "$uri"
    fi
    expect_within $end $((end / 1024 + 2 * one)) 0 header backup "$uri" "$test_dir/$type.backup"
    # What is written is written twice: first what is there, which makes room for it.
    expect_within $end $((4 * end / 1024 + 8 * one)) $((2 * end / 1024 + 4 * one)) \
        header restore --yes "$uri" "$test_dir/$type.backup"
    expect_within $end $((6 * one + marks)) $((2 * one)) erase --yes "$uri"
    expect_equal "what is behind the header" "$payload" "$(sha256_of <(tail -c +$((end + 1)) "$image"))"
done
