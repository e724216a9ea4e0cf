#!/bin/bash
# What a remote server says of a metadata context that is not ours is not believed either: a reply that tells nothing of it,
# or that can't be, is an error of that request with a sentence in the log; and a server that lists too much, or names that
# are none, is told of and served without them.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

disk=$(temp_file)
make_pattern "$disk" 64K
new_remote
start_fake "$disk" structured contexts=x-test:a
exports=(--export "honest=nbd+unix:///honest?socket=$remote_socket")
for name in $(python -c 'import nbd_lies as l; print(*l.CONTEXTS_FAIL, *l.CONTEXTS_PASS, *l.CONTEXTS_LOSE)'); do
    exports+=(--export "lie:$name=nbd+unix:///lie:$name?socket=$remote_socket&retry-for=1"
        --export "once.lie:$name=nbd+unix:///once.lie:$name?socket=$remote_socket&timeout=5")
done
start_nbdcrypt --raw --threads 1 "${exports[@]}"
python "$source_dir/tests/remote/hostile-contexts.py" "$socket" x-test:a </dev/null
for name in silent unknown; do
    expect_match "$server_log" "image 'nbd\\+unix:///lie:context-$name\\?[^']*': BLOCK_STATUS of the metadata context 'x-test:a' fails: the server's reply tells nothing of it\$"
done
expect_match "$server_log" "context-odd\\?[^']*': BLOCK_STATUS of the metadata context 'x-test:a' fails: an extent is no multiple"
expect_match "$server_log" "/lie:context-empty\\?[^']*': the connection was lost \\(an extent of its reply to a BLOCK_STATUS is empty\\)"
stop_nbdcrypt
kill_remote

# Too many, and names that are none: those that can be are offered, and the others counted in a sentence.
many=$(printf 'x-test:%s,' {01..20})
start_fake "$disk" structured "contexts=x-test,:a,x-test:"$'\e'"[31m,nbdcrypt:uuid:123,$many"x-test:03
start_nbdcrypt --raw "$remote"
nbdinfo --json --list "$uri" >"$log_dir/list"
expect_equal "contexts" 15 "$(grep -c '"x-test:[0-9]*"' "$log_dir/list")"
grep -E 'uuid|":a"|31m|"x-test:?"' "$log_dir/list" && fail "a name that is none is offered"
expect_match "$server_log" "': 8 metadata contexts of the server are not passed on: clients see at most 15"
stop_nbdcrypt
kill_remote

# Two that have the same number: nobody could tell their chunks from each other.
start_fake "$disk" structured contexts=same:number
run_nbdcrypt serve --raw --unix "$(temp_socket)" "$remote"
expect_equal "exit status" 1 "$status"
expect_match "$err" "': the server can't be used: the server gives the same number to two metadata contexts\$"
