#!/bin/bash
# A conversion that is killed at any moment goes on where it was, and ends with the right disk.  Until then nobody takes its target for a
# whole one, and it does not go on with another source.
#
#     TEST_TIMEOUT_S=3600 TEST_COMMAND_TIMEOUT_S=900 KILLS=10 SIZE=10G RATE=400M PAUSE_S=3 tests/server/test-convert-survives-kill-9.sh
#
# RATE is what the slow ones have as their --bandwidth; a kill comes up to PAUSE_S seconds late.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires_python_module cryptography
KILLS=${KILLS:-6}
SIZE=${SIZE:-32M}
RATE=${RATE:-4M}
PAUSE_S=${PAUSE_S:-0.25}
plain=$test_dir/plain target=$test_dir/target
make_pattern "$plain" "$SIZE"
options=(--key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000)

# convert_slowly: several checkpoints long.
convert_slowly() {
    "$NBDCRYPT" convert "${options[@]}" --json --bandwidth "$RATE" "$plain" "$target" >"$test_dir/progress" 2>>"$log_dir/convert" &
    converting=$!
    remember_pid "$converting"
}

unfinished() { "$NBDCRYPT" token list "$target" 2>/dev/null | grep nbdcrypt-convert >/dev/null; }
done_bytes() { "$NBDCRYPT" token export "$target" | grep -oE '"done": ?"[0-9]+"' | tr -dc 0-9; }
has_ended() { ! kill -0 "$converting" 2>/dev/null; }
# Beyond $furthest.
has_record_of_progress() {
    local now

    now=$(done_bytes 2>/dev/null) || now=0
    [ "${now:-0}" -gt "$furthest" ] || has_ended
}

kills=0 furthest=0
while [ "$kills" -lt "$KILLS" ]; do
    convert_slowly
    # Some before anything is written, some behind the first checkpoint.
    if [ $((kills % 2)) -eq 0 ]; then wait_until 20 has_record_of_progress; fi
    "$PYTHON" -c 'import random, sys, time; time.sleep(random.random() * float(sys.argv[1]))' "$PAUSE_S"
    kill -KILL "$converting" 2>/dev/null || true
    wait "$converting" 2>/dev/null || true
    kills=$((kills + 1))
    if [ ! -e "$target" ] || ! unfinished; then
        # It was killed before the header was whole, or had gone through.
        run_nbdcrypt compare --key-file "$passphrase" "$plain" "$target"
        [ "$status" -ne 0 ] || break
        note "kill $kills: before the header was whole"
        rm -f "$target"
        continue
    fi
    now=$(done_bytes)
    [ "$now" -ge "$furthest" ] || fail "it is at byte $now, and was at $furthest before"
    furthest=$now
    note "kill $kills: at byte $now of $(size_of "$plain")"
    run_nbdcrypt serve --key-file "$passphrase" --run true "$target"
    expect_equal "exit status of serve" 1 "$status"
    expect_match "$err" "its data is not whole: .* has written $now of $(size_of "$plain") bytes; the same command goes on"
done
note "killed $kills times, the last one at byte $furthest"
[ "$furthest" -gt 0 ] || fail "no kill came behind a checkpoint"

# Not with another source, nor with one that was changed.
if [ -e "$target" ] && unfinished; then
    cp "$plain" "$test_dir/other"
    run_nbdcrypt convert "${options[@]}" "$test_dir/other" "$target"
    expect_equal "exit status with another source" 1 "$status"
    expect_match "$err" "'$test_dir/other' is not what that began with, or was changed since: --overwrite begins anew"
    # Its start was not written yet: whatever opens it finds no disk.
    run_nbdcrypt token remove --token 0 "$target"
    start_nbdcrypt --key-file "$passphrase" --read-only "$target"
    nbdcopy "$uri" "$test_dir/half"
    cmp -s -n 4096 "$plain" "$test_dir/half" && fail "a half volume has the start of a whole one"
    stop_nbdcrypt
    rm "$target"
fi

# What was interrupted goes on.
rm -f "$target"
furthest=0
convert_slowly
wait_until 20 has_record_of_progress
kill -KILL "$converting" 2>/dev/null || true
wait "$converting" 2>/dev/null || true
at=$(done_bytes)
expect_success convert "${options[@]}" --verify "$plain" "$target"
expect_message "$out" "Going on at byte $at."
! unfinished || fail "it is still said to be unfinished"
expect_success compare --key-file "$passphrase" "$plain" "$target"
cryptsetup open --disable-locks --test-passphrase --key-file "$passphrase" "$target" || fail "cryptsetup can't open it"
python - "$target" "$passphrase" "$plain" <<'EOF' || fail "somebody else reads something else"
import sys
from luks_image import LuksImage

image, at = LuksImage(*sys.argv[1:3]), 0
with open(sys.argv[3], "rb") as file:
    while plain := file.read(1 << 24):
        if image.read(at, len(plain)) != plain:
            sys.exit(f"they differ from byte {at} on")
        at += len(plain)
EOF

# A signal is no loss, and that is said. (SIGINT is ignored in what a script starts in the background.)
rm "$target"
furthest=0
convert_slowly
wait_until 20 has_record_of_progress
kill -TERM "$converting"
status=0
wait "$converting" || status=$?
expect_equal "exit status after SIGTERM" 1 "$status"
expect_match "$log_dir/convert" "interrupted, with [0-9]+ bytes done; what is done is kept, and the same command goes on with it"
expect_success convert "${options[@]}" "$plain" "$target"
expect_success compare --key-file "$passphrase" "$plain" "$target"
