#!/bin/bash
# What a plugin of nbdkit claims is checked when it is opened: nonsense is refused with a sentence, what it has no function for
# is not offered, with a warning, and what it claims truly is offered: FUA without FLUSH, CACHE by reading, large preferred blocks.
. "$(dirname "$0")/../support/functions.sh"

plugin=$(realpath "${top_builddir:-.}/tests/support/nbdkit-claims-plugin.so")
[ -e "$plugin" ] || fail "tests/support/nbdkit-claims-plugin.so was not built"

# refused PARAMETERS SENTENCE
refused() {
    expect_failure 1 "image 'nbdkit:$plugin?$1': $2" serve --raw --unix "$(temp_socket)" "nbdkit:$plugin?$1"
}

# ---- nonsense ----

refused can_fua=7 "the plugin answers 7 to can_fua, where 0 is none, 1 emulated and 2 native; that is a fault of the plugin"
refused can_cache=3 "the plugin answers 3 to can_cache, where 0 is none, 1 emulated and 2 native; that is a fault of the plugin"
for question in can_write can_flush can_trim can_zero can_fast_zero can_extents is_rotational can_fua can_cache get_size; do
    refused $question=-1 "the plugin failed in $question: Input/output error"
    refused $question=-7 "the plugin failed in $question: Input/output error"
done
for least in 0 3 131072; do
    refused "block_size=$least:4096:4294967295" "the plugin's smallest block of $least bytes is no power of two up to 65,536"
done
for preferred in 0 256 3000 67108864; do
    refused "block_size=1:$preferred:4294967295" \
        "the plugin's preferred block of $preferred bytes is no power of two from 512 to 33,554,432, or smaller than its smallest one of 1"
done
refused block_size=4096:512:4294967295 \
    "the plugin's preferred block of 512 bytes is no power of two from 512 to 33,554,432, or smaller than its smallest one of 4096"
for most in 0 512 4097; do
    refused "block_size=1024:4096:$most" \
        "the plugin's largest block of $most bytes is smaller than its preferred one of 4096, or no multiple of its smallest one of 1024"
done
NBDKIT_CLAIMS_WITHOUT=pread refused can_fua=1 "the plugin lacks a name or one of open, get_size and pread"

# ---- what it has no function for ----

# offers WITHOUT PARAMETERS FLAGS WARNING: these transmission flags (names without TF_) of those that a plugin decides.
offers() {
    NBDKIT_CLAIMS_WITHOUT=$1 start_nbdcrypt --raw "nbdkit:$plugin?$2"
    expect_equal "what is offered without '$1', $2" "$3" "$(python "$source_dir/tests/nbdkit/claims-offers.py" "$uri" </dev/null
)"
    stop_nbdcrypt
    if [ -n "$4" ]; then
        expect_message "$server_log" "nbdcrypt: the nbdkit plugin '$plugin' $4"
    elif grep '^nbdcrypt:' "$server_log" | grep -qv 'it has neither FLUSH nor FUA'; then
        fail "a warning too many: $(cat "$server_log")"
    fi
}

lacks() {
    echo "says yes to $1, but has no function for it: this is not offered"
}

offers '' can_fua=1 'FLUSH FUA TRIM WRITE_ZEROES CACHE' ''
offers flush 'can_fua=1&can_flush=0' 'TRIM WRITE_ZEROES CACHE' \
    'wants FUA to be made of writes and flushes, but has no function flush: FUA is not offered'
offers flush 'can_fua=2' 'FUA TRIM WRITE_ZEROES CACHE' "$(lacks can_flush)"
offers '' 'can_fua=2&can_flush=0' 'FUA TRIM WRITE_ZEROES CACHE' ''
offers can_fua can_flush=0 'FUA TRIM WRITE_ZEROES CACHE' ''
offers 'can_fua flush' can_flush=0 'TRIM WRITE_ZEROES CACHE' ''
offers trim can_fua=1 'FLUSH FUA WRITE_ZEROES CACHE' "$(lacks can_trim)"
offers extents can_fua=0 'FLUSH TRIM WRITE_ZEROES CACHE' "$(lacks can_extents)"
offers pwrite is_rotational=1 'READ_ONLY FLUSH ROTATIONAL CACHE' "$(lacks can_write)"
offers 'zero cache' can_write=99 'FLUSH FUA TRIM WRITE_ZEROES CACHE' '' # zeros are written, and to cache may be nothing
offers 'zero cache' can_cache=0 'FLUSH FUA TRIM WRITE_ZEROES' ''

# ---- what it claims is done ----

# calls PARAMETERS COMMAND LENGTH FLAGS EXPECTED
calls() {
    start_nbdcrypt --raw "nbdkit:$plugin?$1"
    python - "$uri" "${@:2:3}" <<'PYTHON_END'
import sys
from nbd_client import *

command, length, flags = (int(word) for word in sys.argv[2:])
with Client(sys.argv[1]) as client:
    equal("error", client.error_of(command, 0, length, flags, bytes(length) if command == CMD_WRITE else b""), 0)
    client.disconnect()
PYTHON_END
    kill_nbdcrypt
    expect_equal "calls with $1" "$5" "$(sed -n 's/^call: //p' "$server_log" | paste -s -d ';')"
}

calls 'can_fua=2&can_flush=0' 1 512 1 'pwrite 512 0 2'
calls can_fua=1 1 512 1 'pwrite 512 0 0;flush 0'
calls can_cache=2 5 131072 0 'cache 131072 0 0'
calls can_cache=1 5 131072 0 'pread 65536 0 0;pread 65536 65536 0'
calls 'can_cache=1&block_size=512:1024:49152' 5 65536 0 'pread 49152 0 0;pread 16384 49152 0'
start_nbdcrypt --raw "nbdkit:$plugin?can_cache=1&get_size=1073741824"
python - "$uri" <<'PYTHON_END'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    equal("CACHE of 1 GiB", client.error_of(CMD_CACHE, 0, 1 << 30, 0), 0)
    client.disconnect()
PYTHON_END
stop_nbdcrypt
expect_equal "parts of 1 GiB that are read" 512 "$(grep -c 'call: pread' "$server_log")"

for blocks in 1:65536:4294967295 512:131072:4294967295 4096:33554432:33554432 65536:65536:65536; do
    IFS=: read -r least preferred _ <<<"$blocks"
    start_nbdcrypt --raw "nbdkit:$plugin?block_size=$blocks"
    expect_equal "preferred block of $blocks" "$preferred" "$(nbdinfo --json "$uri" |
        python -c 'import json, sys; print(json.load(sys.stdin)["exports"][0]["block_size_preferred"])')"
    stop_nbdcrypt
done
start_nbdcrypt --raw "nbdkit:$plugin?block_size=4096:4096:4294967295&get_size=1000000"
expect_equal "size in whole blocks" 999424 "$(nbdinfo --size "$uri")"
expect_message "$server_log" "nbdcrypt: the nbdkit plugin '$plugin' has 1000000 bytes, which are no whole blocks of 4096: the last 576 are left out"
stop_nbdcrypt

# ---- what it says ----

# Told once, in the sentence; of several lines the last one is there.
refused 'said=the owls have flown&fail=get_size' "the plugin failed in get_size: the owls have flown"
run_nbdcrypt serve --raw --unix "$(temp_socket)" "nbdkit:$plugin?said=Traceback|  File owl, line 3|OwlError: flown|&fail=get_size"
expect_equal "what it said" "nbdcrypt: plugin claims: Traceback
nbdcrypt: plugin claims:   File owl, line 3
nbdcrypt: image 'nbdkit:$plugin?said=Traceback|  File owl, line 3|OwlError: flown|&fail=get_size': the plugin failed in get_size: OwlError: flown" "$(cat "$err")"
start_nbdcrypt --raw "nbdkit:$plugin?said=Traceback|OwlError: flown&fail=pread"
expect_equal "READ" 5 "$(python - "$uri" <<'PYTHON_END'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    print(client.error_of(CMD_READ, 0, 512, 0))
PYTHON_END
)"
stop_nbdcrypt
expect_equal "what was logged" "Traceback;OwlError: flown" \
    "$(sed -n 's/.*plugin claims: //p' "$server_log" | paste -s -d ';')"
