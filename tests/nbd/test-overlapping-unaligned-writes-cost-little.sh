#!/bin/bash
# Thousands of writes of the same block, some of them unaligned, cost as much each as few do, and clients of another
# export are served meanwhile: no client buys the server's time for 28 bytes.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
attacked=$(temp_file) other=$(temp_file)
format_luks2 "$attacked" 4M --sector-size 4096
format_luks2 "$other" 4M --sector-size 4096
start_nbdcrypt --threads 2 --export "attacked=$attacked,key-file=$passphrase" --export "other=$other,key-file=$passphrase"
most_us=60 # the rest of a command is 4; a list of all claims takes 1000
! is_sanitized || most_us=3000

python - "$socket" "$pid" "$most_us" <<'EOF'
import os
import sys
import threading
import time
from nbd_client import *

CLIENTS, EACH = 200, 128
socket, pid, most_us = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def cpu_seconds():
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def request(length):
    return struct.pack(">IHHQQI", MAGIC_REQUEST, 0, CMD_WRITE_ZEROES, 1, 0, length)


def take_replies(client):
    client.receive_bytes(16 * EACH)


clients = [Client(f"nbd+unix:///attacked?socket={socket}", structured=False) for _ in range(CLIENTS)]
patterns = {
    "one unaligned, then aligned ones": [request(16) + request(4096) * (EACH - 1)] * CLIENTS,
    "aligned ones, then one unaligned": [request(4096) * (EACH - 1) + request(16)] * CLIENTS,
    "in turn": [(request(16) + request(4096)) * (EACH // 2)] * CLIENTS,
    "one before all": [request(16) + request(4096) * (EACH - 1)] + [request(4096) * EACH] * (CLIENTS - 1),
    "unaligned ones": [request(16) * EACH] * CLIENTS,
}
victim = Client(f"nbd+unix:///other?socket={socket}")
for name, bytes_of in patterns.items():
    before, done = cpu_seconds(), threading.Event()

    def flood():
        for client, data in zip(clients, bytes_of):
            client.send_bytes(data)
        for client in clients:
            take_replies(client)
        done.set()

    flooding = threading.Thread(target=flood)
    flooding.start()
    reads = 0
    while not done.is_set():
        victim.read(0, 512)
        reads += 1
    flooding.join()
    us = (cpu_seconds() - before) / (CLIENTS * EACH) * 1e6
    print(f"{name}: {us:.1f} us of CPU a command; {reads} reads of another export")
    if us > most_us:
        raise SystemExit(f"{name}: a command costs {us:.1f} us of CPU")
EOF
expect_alive "nbd+unix:///other?socket=$socket"
stop_nbdcrypt
