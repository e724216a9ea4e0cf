#!/bin/bash
# nbdcrypt ctl top on a terminal of 80 columns: the first table is there at once and claims no rates, those come after a second,
# no line is broken whatever the names and figures are, `q` ends it and leaves the terminal as it was; and where no terminal is,
# nothing is written that moves a cursor, and the first table has its rates.
. "$(dirname "$0")/../support/functions.sh"

control=$(temp_socket) out=$(temp_file)
name="a name of an export that is longer than any column of a table with ümläuts"
start_nbdcrypt --raw --control "$control" --export "$name=memory:64M" --export b=memory:1M
"$(dirname "$NBDCRYPT")/nbdcrypt-bench" --time 8 --connections 2 "nbd+unix:///${name// /%20}?socket=$socket" \
    >"$log_dir/bench" 2>&1 &
bench=$!
remember_pid "$bench"
is_at_work() {
    "$NBDCRYPT" ctl --socket "$control" --json show "$name" | grep -q '"read_bytes": *[1-9]'
}
wait_until 20 is_at_work

"$PYTHON" "$source_dir/tests/control/top-fits-a-terminal.py" "$NBDCRYPT" "$control" </dev/null
for columns in dumb xterm; do
    TERM=$columns timeout 20 "$NBDCRYPT" ctl --socket "$control" top --batch --count 1 --delay 1 >"$out"
    ! grep -q $'\033' "$out" || fail "a cursor is moved where there is no terminal"
    expect_match "$out" '^a name of an ~ +2 +[0-9.]+[KMG]? +0 +[0-9.]+k? +[0-9.]+[mu]?s +[0-9.]+[mu]?s '
    ! grep -qE '^a name of an ~ +2 +0 ' "$out" || fail "the first table has no rates"
done
kill "$bench"
wait "$bench" || true
stop_nbdcrypt
