#!/bin/bash
# An export that can't be opened at the start is tried again, its reason told once, and served when it comes, while the others
# are served; the end does not wait for one that is being opened.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdinfo --version
requires nbdcopy --version

plain=$(temp_file) good=$(temp_file) spare=$(temp_file)
late=$test_dir/late
make_pattern "$plain" 1M
encrypt_to_luks2 "$plain" "$good"
cp "$good" "$spare"

start_nbdcrypt --retry-exports 1 --threads 2 --key-file "$passphrase" --export "good=$good" --export "late=$late"
serves() {
    nbdinfo --size "nbd+unix:///$1?socket=$socket" >"$log_dir/serves" 2>&1
}
told_again() {
    [ "$(grep -c "export 'late' is not served" "$server_log")" -ge 2 ]
}
grep -q "export 'late' is not served" "$server_log" || fail "nothing was told: $(cat "$server_log")"
serves good || fail "the good one is not served"
serves late && fail "one that is not there is served"
expect_match "$server_log" "GO refused: export 'late' is not open at the moment: the log of the server says why"
# Another reason is told: it is tried again.
truncate --size=1M "$late"
wait_until 30 told_again
expect_equal "how often each reason was told" "$(grep "is not served" "$server_log" | sort -u)" \
    "$(grep "is not served" "$server_log" | sort)"
mv "$spare" "$late"
wait_until 30 serves late
nbdcopy "nbd+unix:///late?socket=$socket" - | cmp - "$plain"
# Both exports share one key, since one is a copy: that is told, too.
wait_until 10 grep -q "exports 'good' and 'late' have the same volume key" "$server_log"
expect_equal "exports" 2 "$(nbdinfo --list --json "nbd+unix:///?socket=$socket" | grep -c '"export-name"')"
stop_nbdcrypt

# The only one.
mv "$late" "$spare"
start_nbdcrypt --retry-exports 1 --key-file "$passphrase" --export "late=$late"
serves late && fail "one that is not there is served"
mv "$spare" "$late"
wait_until 30 serves late
stop_nbdcrypt

# What is being opened when the server is to end.
cp "$late" "$test_dir/slow"
clean_up_test() {
    [ ! -s "$test_dir/key-pid" ] || kill -KILL "$(<"$test_dir/key-pid")" 2>/dev/null
}
start_nbdcrypt --retry-exports 1 --shutdown-timeout 0 --export "late=$late,key-file=$passphrase" --export \
    "slow=$test_dir/slow,key-command=sh -c 'test -e $test_dir/go && echo \$\$ >$test_dir/key-pid && exec sleep 1000'"
touch "$test_dir/go"
wait_until 30 test -s "$test_dir/key-pid"
serves late || fail "the good one is not served"
stop_nbdcrypt
gone() {
    ! kill -0 "$(<"$test_dir/key-pid")" 2>/dev/null
}
wait_until 5 gone

expect_failure 2 "--strict and --retry-exports can't both be used: leave out one of the two" \
    serve --strict --retry-exports 5 --export "a=$good" --export "b=$late"
expect_failure 2 "--retry-exports is for exports of --export: write --export NAME=IMAGE" serve --retry-exports 5 "$good"
