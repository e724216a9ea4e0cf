#!/bin/bash
# After SIGKILL, also in the middle of writes, a new server takes over socket, port and image at once, as a service
# manager would start it: the kernel may still be clearing away the ring of the old one.
. "$(dirname "$0")/../support/functions.sh"

image=$(temp_file) socket_path=$(temp_socket)
truncate --size=16M "$image"
start_nbdcrypt --raw --listen 127.0.0.1:0 memory:1M
fixed_port=$port
kill_nbdcrypt
for _ in 1 2 3 4 5 6 7 8 9 10; do
    start_nbdcrypt --raw --unix "$socket_path" --listen "127.0.0.1:$fixed_port" "$image"
    python - "$uri" <<'EOF'
import sys
from nbd_client import *

client = Client(sys.argv[1])
for number in range(200):
    client.send(CMD_WRITE, number * 4096, 0, 0, b"x" * 4096)
EOF
    kill_nbdcrypt
done
