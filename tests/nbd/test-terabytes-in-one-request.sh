#!/bin/bash
# With extended headers one TRIM, WRITE_ZEROES, CACHE or BLOCK_STATUS may be of terabytes: the server takes no more memory for
# it, answers others meanwhile, and ends within its time in the middle of it.
. "$(dirname "$0")/../support/functions.sh"

image=$(temp_file)
truncate -s 8T "$image" 2>"$log_dir/truncate" || skip "this file system has no files of 8 TiB"
start_nbdcrypt --raw --discard --threads 1 "$image"
python "$source_dir/tests/nbd/terabytes-in-one-request.py" "$uri" "$pid"
stop_nbdcrypt

# Zeros that have to be written out, for hours: others are answered, and SIGTERM ends it.
format_luks2 "$image" 7T
start_nbdcrypt --key-file "$passphrase" --threads 1 --shutdown-timeout 4 "$image"
python - "$uri" "$pid" <<'EOF'
import os
import signal
import sys
from nbd_client import *

uri, pid = sys.argv[1], int(sys.argv[2])
long, other = Client(uri, extended=True), Client(uri)
long.send(CMD_WRITE_ZEROES, 1 << 40, 4 << 40)
for i in range(50):
    other.write(i * 4096, b"B" * 4096)
    equal("data", other.read(i * 4096, 4096), b"B" * 4096)
os.kill(pid, signal.SIGTERM)
EOF
wait "$pid" || true
