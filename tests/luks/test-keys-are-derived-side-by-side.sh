#!/bin/bash
# The keys of several exports are derived on several CPUs at a time, on one CPU one after the other.  The service manager
# hears meanwhile how far it is and that it should wait, a terminal is asked for one passphrase after the other, in order,
# and SIGTERM ends it all at once.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdinfo --version
requires taskset --version

exports=10
image=$(temp_file)
truncate --size=17M "$image"
cryptsetup_quietly luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 400000 "$image"
with_files=()
for ((i = 1; i <= exports; i++)); do
    cp --sparse=always "$image" "$image.$i"
    with_files+=(--export "disk$i=$image.$i,key-file=$passphrase")
done

# run_here CPU-LIST: opens them all; in how many of 100 looks at it several threads were calculating goes to
# $test_dir/several, and what the service manager was told to $test_dir/told.
run_here() {
    python "$source_dir/tests/luks/keys-are-derived-side-by-side-on-cpus.py" "$1" "$test_dir" "$NBDCRYPT" serve --unix "$(temp_socket)" "${with_files[@]}" </dev/null
}

cpus=$("$PYTHON" -c 'import os; print(",".join(map(str, sorted(os.sched_getaffinity(0)))))')
run_here "$cpus"
note "several threads calculated in $(<"$test_dir/several") % of the time on CPUs $cpus"
if [[ $cpus = *,* ]]; then
    [ "$(<"$test_dir/several")" -ge 50 ] || fail "keys wait for each other"
fi
grep -qx "STATUS=Opening exports: 0 of $exports" "$test_dir/told" || fail "no STATUS: $(<"$test_dir/told")"
grep -qxE "EXTEND_TIMEOUT_USEC=[1-9][0-9]{6,}" "$test_dir/told" || fail "no EXTEND_TIMEOUT_USEC: $(<"$test_dir/told")"

# In the middle of it.
own_socket=$(temp_socket)
"$NBDCRYPT" serve --unix "$own_socket" "${with_files[@]}" >/dev/null 2>"$log_dir/ended" &
pid=$!
remember_pid "$pid"
wait_until 20 test -S "$own_socket"
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
expect_equal "status after SIGTERM" 143 "$status"
expect_message "$log_dir/ended" "nbdcrypt: ended by a signal before it was ready"
[ ! -e "$own_socket" ] || fail "the socket is still there"

# Those that are asked for, between others that have a file.
python "$source_dir/tests/luks/keys-are-derived-side-by-side-at-start.py" "$(<"$passphrase")" "$NBDCRYPT" serve --unix "$(temp_socket)" --export "first=$image.1" "${with_files[@]:4:4}" \
    --export "second=$image.2" "${with_files[@]:8:2}" </dev/null
