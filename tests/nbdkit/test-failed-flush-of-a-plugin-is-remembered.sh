#!/bin/bash
# A plugin of nbdkit whose flush fails once, as fdatasync() does: from then on FLUSH and FUA fail, of all connections, and
# the exit status tells.
. "$(dirname "$0")/../support/functions.sh"

export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"

plugin=${top_builddir:-.}/tests/support/nbdkit-order-plugin.so
[ -e "$plugin" ] || fail "$plugin was not built; make check does that"
plugin=$(realpath "$plugin")
lose=$test_dir/lose

# loses FUA HOW: with can_fua of this number; HOW is what finds out: FLUSH, FUA or the end.
loses() {
    local status=0

    reports=$(temp_dir)
    start_nbdcrypt --raw --threads 2 --report-directory "$reports" "nbdkit:$plugin?size=1048576&fua=$1&lose=$lose"
    python "$source_dir/tests/nbdkit/failed-flush-of-a-plugin-is-remembered-loses.py" "$uri" "$lose" "$2" </dev/null
    kill -TERM "$pid"
    wait "$pid" || status=$?
    expect_equal "exit status when $2 finds out" 1 "$status"
    expect_equal "how often the log tells when $2 finds out" 1 "$(grep -c \
        "image '$plugin': it can't be made durable: No space left on device; what was written since the last good FLUSH" \
        "$server_log")"
    report=$(find "$reports" -name 'report-*-unexpected.txt')
    expect_match "$report" '^reason = storage can.t make durable what was written: some of it is lost$'
    [ "$how" = end ] || expect_match "$report" ' sync_failed = ENOSPC '
}

for fua in 1 2; do
    for how in FLUSH FUA end; do
        loses "$fua" "$how"
    done
done
