#!/bin/bash
# The plan of a reload tells of each export that goes or changes how many clients it has, in text and for programs; of others
# nothing.
. "$(dirname "$0")/../support/functions.sh"

control=$(temp_socket) config=$(temp_dir)/nbdcrypt.conf
write_config() {
    printf '[export %s]\nimage = memory:%s\nraw = yes\n' gone 1M image 1M rules 1M none 1M same 1M | sed "$1" >"$config"
}
ctl() {
    "$NBDCRYPT" ctl --socket "$control" "$@"
}
write_config ''
start_nbdcrypt --control "$control" --config "$config"
mkfifo "$test_dir/go"
"$PYTHON" -c '
import sys
from nbd_client import Client
names = ["gone", "image", "image", "rules", "rules", "rules", "same"]
clients = [Client(f"nbd+unix:///{name}?socket={sys.argv[1]}") for name in names]
sys.stdin.readline()
' "$socket" <"$test_dir/go" 2>"$log_dir/clients" &
clients=$!
remember_pid "$clients"
exec 7>"$test_dir/go"
are_there() {
    [ "$(ctl --json clients | grep -o '"export": *"[a-z]' | wc -l)" -eq 7 ]
}
wait_until 20 are_there

# The sections have three lines each: without the first; another image; other rules; another description of one without clients.
write_config '1,3d; 5s/1M/2M/; 9s/$/\nallow = uid:0/; 12s/$/\ndescription = x\n[export new]\nimage = memory:1M\nraw = yes/'
expected='- gone        removed (1 client)
! image       image (2 clients): opened anew, and its clients disconnected, with --replace image
+ new         added: memory:1M
~ none        description
~ rules       allow (3 clients)'
expect_equal "plan" "$expected" "$(ctl reload --dry-run --replace image | LC_ALL=C sort -k 2)"
ctl reload --dry-run --replace image --json | "$PYTHON" -c '
import json, sys
plan = json.load(sys.stdin)["plan"]
found = {one["export"]: one.get("clients") for one in plan}
assert found == {"gone": 1, "image": 2, "rules": 3, "none": 0, "new": None}, found'
run_nbdcrypt check --config "$config" --running --socket "$control"
expect_match "$out" '^  - gone +removed \(1 client\)$'

# What was told is what happens.
ctl reload --replace image >"$log_dir/reload"
expect_match "$server_log" 'configuration: - gone +removed \(1 client\)$'
echo >&7
exec 7>&-
wait "$clients" || fail "a client failed: $(cat "$log_dir/clients")"
stop_nbdcrypt
