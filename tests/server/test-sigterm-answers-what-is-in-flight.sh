#!/bin/bash
# SIGTERM with requests in flight: each is done and answered, or has no answer because it was not begun; then the stream ends, the server leaves
# with 0, its socket is gone, and what was answered is in the image.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

plain=$(temp_file) image=$(temp_file) socket_path=$(temp_socket)
for sector_size in 512 4096; do
    format_luks2 "$image" 64M --sector-size "$sector_size"
    start_nbdcrypt --key-file "$passphrase" --unix "$socket_path" --listen 127.0.0.1:0 "$image"
    python - "${uris[*]}" "$pid" "$plain" <<'EOF'
import os
import signal
import socket
import sys
from nbd_client import *

uris, pid, record = sys.argv[1].split(), int(sys.argv[2]), sys.argv[3]
PIECE = 200001
clients = [Client(uri, structured=k) for uri in uris for k in (False, True)]
idle = Client(uris[0])
cookies = {}
for number, client in enumerate(clients):
    for k in range(64):
        slot = number * 64 + k
        client.send(CMD_WRITE, slot * PIECE, 0, 0, bytes([slot % 255 + 1]) * PIECE)
        cookies[client.next_cookie - 1, client] = slot
# These two are in the middle of their answers: far more than what sockets hold.
readers = [Client(uri, structured=uri == uris[0], receive_buffer_bytes=65536) for uri in uris]
for client in readers:
    client.send_bytes(b"".join(client.request_bytes(CMD_READ, 0, 256 << 10) for _ in range(200)))
for client in readers:
    client.socket.recv(1, socket.MSG_PEEK)  # the answers have begun
os.kill(pid, signal.SIGTERM)
done = []
answered = 0
for client in readers:
    errors = [reply.error for reply in client.receive_to_the_end().values()]
    if set(errors) != {0}:
        raise AssertionError(f"errors of the READs: {errors}")
    answered += len(errors)
if answered == 200 * len(readers):
    raise AssertionError("nothing was left that had not begun")
for client in clients:
    for cookie, reply in client.receive_to_the_end().items():
        if reply.error != 0:
            raise AssertionError(f"error {reply.error}")
        if not reply.error:
            done.append(cookies[cookie, client])
    client.expect_end()
idle.expect_end()
if not done:
    raise AssertionError("nothing was done")
with open(record, "w") as file:
    file.write(" ".join(map(str, done)))
EOF
    stopped=0
    wait "$pid" || stopped=$?
    expect_equal "exit status" 0 "$stopped"
    [ ! -e "$socket_path" ] || fail "the socket is still there"
    start_nbdcrypt --key-file "$passphrase" "$image"
    python - "$uri" "$plain" <<'EOF'
import sys
from nbd_client import *

PIECE = 200001
with Client(sys.argv[1]) as client:
    for slot in map(int, open(sys.argv[2]).read().split()):
        equal(f"piece {slot}", client.read(slot * PIECE, PIECE), bytes([slot % 255 + 1]) * PIECE)
EOF
    stop_nbdcrypt
done
