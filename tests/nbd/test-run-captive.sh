#!/bin/bash
# --run: the command sees $uri and $unixsocket, its status becomes ours, and nothing is left behind.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
# shellcheck disable=SC2016 # the variables are those of the command
{
run_nbdcrypt serve --raw --run 'nbdinfo --size "$uri"' memory:3M
expect_equal "exit status" 0 "$status"
expect_message "$out" 3145728

run_nbdcrypt serve --raw --run 'test -S "$unixsocket" && echo "$unixsocket"' memory:1M
expect_equal "exit status" 0 "$status"
left=$(tail -n 1 "$out")
[ -n "$left" ] || fail "no socket was named"
[ ! -e "$(dirname "$left")" ] || fail "something is left of '$left'"

socket_path=$(temp_socket)
run_nbdcrypt serve --raw --unix "$socket_path" --name x --run 'echo "$unixsocket $uri"' memory:1M
expect_match "$out" "^$socket_path nbd\\+unix:///x\\?socket=$socket_path\$"

run_nbdcrypt serve --raw --listen 127.0.0.1:0 --run 'nbdinfo --size "$uri"; echo "socket:$unixsocket"' memory:2M
expect_message "$out" 2097152
expect_message "$out" socket:

for expected in 0 1 7 77 255; do
    run_nbdcrypt serve --raw --run "exit $expected" memory:1M
    expect_equal "exit status" "$expected" "$status"
done
run_nbdcrypt serve --raw --run 'kill -9 $$' memory:1M
[ "$status" -ne 0 ] || fail "a command that was killed counts as success"
}

# What the command wrote is in the image when we have left.
requires cryptsetup --version
image=$(temp_file)
format_luks2 "$image" 1M
# shellcheck disable=SC2016
run_nbdcrypt serve --key-file "$passphrase" --run "$PYTHON"' -c "
from nbd_client import *
import sys
with Client(sys.argv[1]) as client:
    client.write(1000, b\"captive\")" "$uri"' "$image"
expect_equal "exit status" 0 "$status"
start_nbdcrypt --key-file "$passphrase" "$image"
python -c '
import sys
from nbd_client import *
with Client(sys.argv[1]) as client:
    equal("data", client.read(1000, 7), b"captive")' "$uri"
stop_nbdcrypt

# A start that fails never runs the command.
rm "$image"
run_nbdcrypt serve --raw --run "touch $test_dir/ran" "$image"
expect_equal "exit status" 1 "$status"
[ ! -e "$test_dir/ran" ] || fail "the command was run"
