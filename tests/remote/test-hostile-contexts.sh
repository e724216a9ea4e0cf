#!/bin/bash
# What a remote server says of a metadata context that is not ours is not believed either: a reply that tells nothing of it,
# or that can't be, is an error of that request with a sentence in the log; and a server that lists too much, or names that
# are none, or does not let anybody choose, is told of and served without them.
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

# More than can be kept, but with an end.
start_fake "$disk" structured contexts=x-test:a listed=70000
start_nbdcrypt --raw "$remote"
nbdinfo --json --list "$uri" >"$log_dir/list"
expect_equal "contexts" 15 "$(grep -cE '"x-(test|more):' "$log_dir/list")"
expect_match "$server_log" "': 69986 metadata contexts of the server are not passed on"
stop_nbdcrypt
kill_remote
start_fake "$disk" structured contexts=x-test:a listed=endless
run_nbdcrypt serve --raw --unix "$(temp_socket)" "$remote"
expect_equal "exit status" 1 "$status"
expect_match "$err" "': the server can't be used: the server's answer to LIST_META_CONTEXT does not end\$"
kill_remote

# expect_base URI: it has base:allocation, and tells of it, and nothing else.
expect_base() {
    nbdinfo --json --list "$1" >"$log_dir/list"
    expect_equal "contexts" 1 "$(grep -cE '"(base|x-|same)[a-z-]*:' "$log_dir/list")"
    python - "$1" <<'PYTHON_END'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    equal("extents", client.extents(0, 4096), [(512, STATE_HOLE | STATE_ZERO), (3584, 0)])
    client.disconnect()
PYTHON_END
}

# Two that have the same number: nobody could tell their chunks from each other. And all together are refused.
for odd in contexts=x-test:a,same:number "contexts=x-test:a several=refused"; do
    # shellcheck disable=SC2086 # they are words
    start_fake "$disk" structured $odd
    start_nbdcrypt --raw "$remote"
    case $odd in
    *same*) why="it gives the same number to two of them" ;;
    *) why="it answers with an error when it is asked for all of them" ;;
    esac
    expect_match "$server_log" "': the metadata contexts of the server are not passed on: $why: it was asked once more, for base:allocation alone\$"
    expect_base "$uri"
    # The clients have been told what there is: it stays so when the server can tell more.
    kill_remote
    start_fake "$disk" structured contexts=x-test:a
    expect_base "$uri"
    stop_nbdcrypt
    kill_remote
done

# A server that comes back like that has lost its contexts, until it comes back as it was.
has_lost() {
    [ "$(grep -c 'the connection was lost' "$server_log")" -ge "$1" ]
}
status_of() {
    python - "$uri" "$1" <<'PYTHON_END'
import sys
from nbd_client import *

print(Client(sys.argv[1], contexts=(sys.argv[2],)).error_of(CMD_BLOCK_STATUS, 0, 4096))
PYTHON_END
}
start_fake "$disk" structured contexts=x-test:a,x-test:b
start_nbdcrypt --raw --threads 1 "$remote"
expect_equal "error of what is there" 0 "$(status_of x-test:b)"
kill_remote
wait_until 30 has_lost 1
start_fake "$disk" structured contexts=x-test:a,x-test:b several=refused
expect_equal "error of base:allocation" 0 "$(status_of base:allocation)"
expect_equal "error of what is gone" 5 "$(status_of x-test:b)"
expect_match "$server_log" "does not have the metadata context 'x-test:b' any more \(it answers with an error when it is asked for all of them\): "
kill_remote
wait_until 30 has_lost 2
start_fake "$disk" structured contexts=x-test:a,x-test:b several=clash
expect_equal "error of base:allocation" 0 "$(status_of base:allocation)"
expect_equal "error of what is gone" 5 "$(status_of x-test:a)"
kill_remote
wait_until 30 has_lost 3
start_fake "$disk" structured contexts=x-test:a,x-test:b
expect_equal "error of what is there again" 0 "$(status_of x-test:b)"
stop_nbdcrypt
kill_remote
