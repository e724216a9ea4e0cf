# shellcheck shell=bash
# shellcheck disable=SC2154 # what functions.sh and tls-peers.sh set
# The examples of nbdcrypt-tls(1), run as they stand but for the name and port of the server.  Sourced after
# tls-peers.sh.
#
# TLS_SERVER is who serves: nbdkit, or nbdcrypt with the command of the page's example.

TLS_SERVER=${TLS_SERVER:-nbdcrypt}
PATH=/usr/bin:$PATH # nbdsh takes the first python3, which must be the one that has libnbd

# example NAME: the text of the example in the page, as man(1) shows it.
example() {
    awk -v mark=".\\\\\" example: $1" '
        $0 == mark { marked = 1; next }
        marked && /^\.Bd / { inside = 1; next }
        inside && /^\.Ed/ { exit }
        inside' "$source_dir/docs/nbdcrypt-tls.1" | sed -e 's/\\e/\\/g' -e 's/\\&//g' -e 's/\\-/-/g' >"$test_dir/example"
    [ -s "$test_dir/example" ] || fail "the page has no example '$1'"
    sed -e 's,storage\.example\.org/,localhost:'"${port-}"'/,g' -e 's/storage\.example\.org/localhost/g' \
        -e 's/port=10809/port='"${port-}"'/g' -e 's/0\.0\.0\.0:10809/127.0.0.1:0/g' "$test_dir/example"
}

# run_example NAME: what it prints is in $out.
run_example() {
    out=$log_dir/example-$1
    example "$1" >"$test_dir/script"
    bash -euo pipefail "$test_dir/script" >"$out" 2>&1 </dev/null || fail "example $1: $(cat "$test_dir/script" "$out")"
}

# serve_example NAME DISK NBDKIT-OPTION...: the example, or nbdkit with DISK.  Sets $port.
serve_example() {
    local name=$1 disk_file=$2 command

    shift 2
    if [ "$TLS_SERVER" = nbdkit ]; then
        serve_by_nbdkit "$disk_file" "$@"
        return
    fi
    command=$(example "$name")
    command=${command#nbdcrypt serve}
    eval "start_nbdcrypt ${command//$'\\\n'/ }"
    port=${uri#*://} port=${port%%/*} port=${port##*:}
}

# The examples call it by its name.
mkdir "$test_dir/bin"
ln -s "$NBDCRYPT" "$test_dir/bin/nbdcrypt"
PATH=$test_dir/bin:$PATH
