#!/bin/bash
# A thousand idle connections and an active one: all are served, and the server stays under 100 MiB.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

ulimit -n 4096 2>/dev/null || [ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge 2500 ] ||
    skip "no more than $(ulimit -n) open files are allowed"
image=$(temp_file)
format_luks2 "$image" 16M --sector-size 4096
start_nbdcrypt --key-file "$passphrase" --max-connections 1200 "$image"
python - "$uri" "$(is_sanitized && echo 100000 || echo 100)" "$pid" <<'EOF'
import sys
from nbd_client import *

uri, limit_mib, pid = sys.argv[1], int(sys.argv[2]), sys.argv[3]
idle = []
for number in range(1000):
    client = Client(uri)
    # Each has done something: what it needed then must not stay.
    client.write(number * 4096, number.to_bytes(4, "big") * 1024)
    idle.append(client)
active = Client(uri)
for number in range(0, 1000, 7):
    equal("data", active.read(number * 4096, 4096), number.to_bytes(4, "big") * 1024)
with open(f"/proc/{pid}/status") as status:
    resident_mib = next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
if resident_mib > limit_mib:
    raise AssertionError(f"{resident_mib:.0f} MiB resident with 1,000 idle connections")
for number, client in enumerate(idle):
    equal("data", client.read(number * 4096, 4), number.to_bytes(4, "big"))
    client.disconnect()
equal("data", active.read(0, 4), bytes(4))
active.disconnect()
EOF
stop_nbdcrypt
