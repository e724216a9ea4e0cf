#!/bin/bash
# Clients whose machine vanishes without a word, idle ones and those that have a reply on its way, are noticed by the
# kernel within --stall-timeout, and their descriptors are back.
. "$(dirname "$0")/../support/functions.sh"

# A network of its own, whose only link can be taken away.
if [ -z "${TEST_HAS_NETWORK-}" ]; then
    own_network=(unshare --net)
    "${own_network[@]}" true 2>/dev/null || own_network=(unshare --map-root-user --net)
    requires "${own_network[@]}" ip link set lo up
    TEST_HAS_NETWORK=1 "${own_network[@]}" bash "$0" "$@"
    exit
fi
ip link set lo up
NBDCRYPT_ALLOW_CORE=1 start_nbdcrypt --stall-timeout 10 --listen 127.0.0.1:0 --raw memory:1M
python - "$uri" "$pid" <<'PYTHON_END'
import os
import subprocess
import sys
import time
import nbd_client as nbd
from nbd_client import wait_for

uri, pid = sys.argv[1], int(sys.argv[2])


def descriptors():
    return len(os.listdir(f"/proc/{pid}/fd"))


first = descriptors()
clients = [nbd.Client(uri) for _ in range(8)]
wait_for(lambda: descriptors() == first + len(clients), "descriptors of the clients")
for client in clients[:4]:
    client.send_bytes(client.request_bytes(nbd.CMD_READ, 0, 65536))
subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
begin = time.monotonic()
while descriptors() > first and time.monotonic() - begin < 60:
    time.sleep(0.1)
assert descriptors() == first, f"{descriptors() - first} descriptors of clients that vanished are still there"
PYTHON_END
ip link set lo up
stop_nbdcrypt
