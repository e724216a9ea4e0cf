#!/bin/bash
# Flags of a metadata context that have more than 32 bits reach clients with extended headers as they are, also through a
# second nbdcrypt. Other clients get EOVERFLOW, and are told what comes before those.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

disk=$(temp_file)
make_pattern "$disk" 64K
new_remote
start_fake "$disk" extended contexts=x-test:a
names=$(python -c 'import nbd_lies as l; print(*l.CONTEXTS_WIDE)')

# start_before SOCKET BEHAVIOUR: an export for each, of the server there.
start_before() {
    local exports=() name

    for name in $names; do
        exports+=(--export "$name=nbd+unix:///$2$name?socket=$1")
    done
    start_nbdcrypt --raw --threads 1 "${exports[@]}"
}

start_before "$remote_socket" lie:
python "$source_dir/tests/remote/wide-flags-of-contexts.py" "$socket" x-test:a </dev/null
expect_match "$server_log" "BLOCK_STATUS of the metadata context 'x-test:a' fails: its flags have more than 32 bits, which takes a client with extended headers\$"
expect_success map --format raw --json --context x-test:a "nbd+unix:///wide-first?socket=$socket"
expect_match "$out" '"start": 0, "length": 512, "value": 9223373136366403589}'
first=$socket first_pid=$pid
start_before "$first" ""
python "$source_dir/tests/remote/wide-flags-of-contexts.py" "$socket" x-test:a </dev/null
stop_nbdcrypt
pid=$first_pid
stop_nbdcrypt
