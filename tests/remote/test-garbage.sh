#!/bin/bash
# What a remote server sends is not trusted: garbage, half of a reply, sizes and errors of all kinds end in a sentence or
# an error of the request, and never in the end of the server.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

disk=$(temp_file)
make_pattern "$disk" 1M
new_remote

# refused REGEX BEHAVIOUR...: `nbdcrypt serve` ends with a message.
refused() {
    local regex=$1

    shift
    start_fake "$disk" "$@"
    run_nbdcrypt serve --raw --unix "$(temp_socket)" "$remote"
    expect_equal "exit status with '$*'" 1 "$status"
    expect_match "$err" "^nbdcrypt: image 'nbd\\+unix:[^']*': $regex\$"
    expect_equal "lines of the message" 1 "$(wc -l <"$err")"
    kill_remote
}
refused "the server can't be used: this is no NBD server, or one from before 2011" greeting=bad
refused "the server can't be used: the server closed the connection during the handshake" greeting=half
refused "the server can't be used: the server does not answer during the handshake" greeting=none
refused "the server .*" size=18446744073709551615
run_nbdcrypt serve --raw --unix "$(temp_socket)" "$remote"
expect_equal "exit status without a server" 1 "$status"
expect_match "$err" "the server can't be reached: [^:]*: can't connect: (No such file or directory|Connection refused); is the server running\\?\$"

# Errors are passed on.
for number in 1 5 12 22 28 75 95 77 4294967295; do
    start_fake "$disk" error="$number"
    start_nbdcrypt --raw "$remote"
    python - "$uri" "$number" <<'PYTHON_END'
import sys
from nbd_client import *

uri, number = sys.argv[1], int(sys.argv[2])
with Client(uri) as client:
    error = client.error_of(CMD_READ, 0, 4096)
    if error == 0 or (number in (EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW) and error != number):
        raise AssertionError(f"error {number} became {error}")
    client.write(0, b"x" * 4096)
PYTHON_END
    stop_nbdcrypt
    kill_remote
done
make_pattern "$disk" 1M

# A connection that breaks once costs nothing: the requests are sent again.
for kind in "" multi-conn; do
    for wrong in reply=half reply=magic reply=cookie; do
        start_fake "$disk" "$wrong" after=3 once ${kind:+"$kind"}
        start_nbdcrypt --raw --threads 1 "$remote"
        expect_image "$disk" "$uri"
        expect_match "$server_log" 'connection was lost'
        stop_nbdcrypt
        kill_remote
    done
done

# One that breaks always is given up, without a storm of connections.
start_fake "$disk" reply=half
start_nbdcrypt --raw --threads 1 "$remote&retry-for=2"
nbdcopy "$uri" - >"$test_dir/copy" 2>"$log_dir/copying" && fail "a server without answers was read from"
[ "$(grep -c 'connection was lost' "$server_log")" -lt 20 ] || fail "a storm of connections"
expect_alive "$uri"
stop_nbdcrypt

# Larger than the disk behind it: what is not there is an error.
kill_remote
start_fake "$disk" size=2097152
start_nbdcrypt --raw "$remote"
python - "$uri" <<'PYTHON_END'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    equal("READ of what is not there", client.error_of(CMD_READ, 1 << 20, 4096), EINVAL)
    equal("length of what is there", len(client.read(0, 4096)), 4096)
PYTHON_END
stop_nbdcrypt
