#!/bin/bash
# After SIGKILL in the middle of writes, everything that was answered and flushed is there, and the volume opens.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

image=$(temp_file) record=$(temp_file)
for sector_size in 512 4096; do
    format_luks2 "$image" 16M --sector-size "$sector_size"
    for round in 1 2 3; do
        start_nbdcrypt --key-file "$passphrase" "$image"
        # Writes until it is cut off; records what had been flushed by then.
        "$PYTHON" - "$uri" "$record" "$round" <<'EOF' &
import json
import random
import sys
from nbd_client import *

uri, record, round_number = sys.argv[1], sys.argv[2], int(sys.argv[3])
chance = random.Random(round_number)
PIECE = 3000
writer, flusher = Client(uri), Client(uri)
flushed, number = 0, 0
order = list(range(5000))
chance.shuffle(order)
try:
    while number < len(order):
        batch = order[number:number + 16]
        for piece in batch:
            writer.send(CMD_WRITE, piece * PIECE, 0, 0, bytes([piece % 250 + round_number]) * PIECE)
        for reply in writer.receive_all().values():
            reply.check()
        number += len(batch)
        flusher.flush()
        flushed = number
        if flushed == 320:
            open(record + ".go", "w").close()
except (EndOfStream, ConnectionResetError, BrokenPipeError):
    pass
json.dump(order[:flushed], open(record, "w"))
EOF
        writer=$!
        remember_pid "$writer"
        wait_until 60 test -e "$record.go"
        kill_nbdcrypt
        wait "$writer"
        rm "$record.go"
        start_nbdcrypt --key-file "$passphrase" "$image"
        python - "$uri" "$record" "$round" <<'EOF'
import json
import sys
from nbd_client import *

uri, record, round_number = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3])
if not 320 <= len(record) < 5000:
    raise AssertionError(f"the writer was cut off after {len(record)} pieces: that proves nothing")
with Client(uri) as client:
    for piece in record:
        equal(f"piece {piece}", client.read(piece * 3000, 3000),
              bytes([piece % 250 + round_number]) * 3000)
EOF
        stop_nbdcrypt
    done
done
