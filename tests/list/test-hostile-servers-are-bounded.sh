#!/bin/bash
# nbdcrypt list bears what a server says: it ends in time, keeps little of it, shows no control characters, and says in a
# sentence what is wrong.
. "$(dirname "$0")/../support/functions.sh"

# told LIE STATUS EXTENDED-REGEX [OPTION...]: on standard output and standard error together.
told() {
    local lie=$1 expected=$2 regex=$3 status=0

    shift 3
    (
        is_sanitized || ulimit -v 600000
        timeout 60 "$PYTHON" "$source_dir/tests/list/hostile-servers.py" "$lie" "$NBDCRYPT" list --timeout 2 "$@" '{uri}'
    ) >"$log_dir/list" 2>&1 || status=$?
    expect_equal "status with $lie ($(head -c 500 "$log_dir/list"))" "$expected" "$status"
    expect_match "$log_dir/list" "$regex"
    ! LC_ALL=C grep -aqP '[\x00-\x08\x0b-\x1f\x7f]' "$log_dir/list" || fail "$lie: control characters are shown"
    [ "$(wc -c <"$log_dir/list")" -lt 100000 ] || fail "$lie: $(wc -c <"$log_dir/list") bytes are shown"
}

told honest 0 '^one +1\.0 MiB +- +- +base:allocation +the first$'
told endless-exports 1 'lists more than 10000 exports$'
told long-names 1 'names and descriptions are longer than 16 MiB$'
told too-long-name 1 "answer to LIST is not NBD$"
told name-beyond-the-end 1 "answer to LIST is not NBD$"
told no-name 1 "answer to LIST is not NBD$"
told reply-of-4-gib 1 "answer to LIST is too long: 4294967295 bytes$"
told other-option 1 "answer to LIST is not NBD$"
told garbage 1 "answer to LIST is not NBD$"
told silence 1 'the server does not answer during the handshake$'
told slowly 1 'the server does not answer during the handshake$'
told hangs-up 1 'the server closed the connection during the handshake$'
told names-that-move-the-cursor 0 '^\?\[2J\?\]0;title\?name '
told names-that-move-the-cursor 0 "^export 'nul\?byte': its name holds a NUL, so that nobody can ask for it$"
told refuses-in-colour 0 'does not list its exports: it is forbidden \(the server says: \?\[31mno\?\[0m\)'
told refuses-in-colour 0 "^export '': there is no such export \(the server says: \?\[5mwho\?\?\?\)"
told demands-tls 1 'it is served with TLS only: nbds://'
told endless-infos 1 'answer to INFO does not end$'
told no-size 1 'answer to INFO tells no size$'
told short-info 1 'answer to INFO tells no size$'
told size-of-the-world 0 "^export 'one': the server says that it has 18446744073709551615 bytes, which cannot be\$"
told endless-contexts 1 'more than 255 contexts$'
told context-in-colour 0 ' x:\?\[31m '
told short-context 1 'answer to LIST_META_CONTEXT is not NBD$'
told old-server 1 'this is no NBD server, or one from before 2011$'
told no-nbd 1 'this is no NBD server, or one from before 2011$'

# The same as JSON, which a parser takes.
for lie in $("$PYTHON" "$source_dir/tests/list/hostile-servers.py"); do
    timeout 60 "$PYTHON" "$source_dir/tests/list/hostile-servers.py" "$lie" "$NBDCRYPT" list --json --timeout 1 '{uri}' \
        >"$log_dir/json" 2>"$log_dir/err" || [ $? -eq 1 ]
    [ ! -s "$log_dir/json" ] || python -c 'import json, sys; json.load(sys.stdin)' <"$log_dir/json" || fail "$lie: no JSON"
done
