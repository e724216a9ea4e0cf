#!/bin/bash
# Interrupted at any time, bench/compare.py leaves neither servers nor images behind, and keeps what it has measured.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/compare-functions.sh"

requires nbd-server -V
requires nbdcopy --version

csv=$(temp_file)

# interrupted SIGNAL SERVER WHAT: sends the signal once WHAT (a function) holds.
interrupted() {
    local status=0

    dir=$(temp_dir)
    : >"$csv"
    # A shell that is not interactive has its background jobs ignore SIGINT.
    env --default-signal=INT "$PYTHON" "$compare" run --nbdcrypt "$NBDCRYPT" --dir "$dir" --size 4M --rounds 100 --seconds 0.5 --warm-up 0.1 \
        --jobs randread-1 --servers "$2" --csv "$csv" --no-charts </dev/null >"$log_dir/interrupted" 2>&1 &
    pid=$!
    remember_pid "$pid"
    wait_until 60 "$3"
    kill "-$1" "$pid"
    wait "$pid" || status=$?
    expect_equal "exit status after SIG$1" 1 "$status"
    expect_match "$log_dir/interrupted" '^interrupted$'
    expect_equal "what is left in --dir" "" "$(ls -A "$dir")"
    wait_until 30 nothing_runs
}

nothing_runs() {
    ! pgrep -f "$dir" >/dev/null
}

has_images() {
    compgen -G "$dir/*/plain.img" >/dev/null
}

has_a_row() {
    grep -q ',randread-1,' "$csv"
}

interrupted INT nbdcrypt-raw has_images
interrupted TERM nbd-server has_a_row
expect_match "$csv" '^1,nbd-server,randread-1,cache,unix,nbdcrypt-bench,'
interrupted INT nbdcrypt-luks2-512 has_a_row
