#!/bin/bash
# A server without memory for data buffers: clients wait and are served when there is some again; when there is none for
# long they get ENOMEM, and the connection goes on. Clients that take nothing are dropped before others wait for
# ever, and memory that nobody uses goes back.
. "$(dirname "$0")/../support/functions.sh"

! is_sanitized || skip "a sanitizer takes address space as it likes"
requires prlimit --version
image=$(temp_file)
make_pattern "$image" 32M

# No address space.
start_nbdcrypt --raw --threads 1 "$image"
python - "$uri" "$pid" "$image" <<'PYTHON_END'
import resource
import sys

import nbd_client as nbd
from nbd_client import equal

uri, pid = sys.argv[1], int(sys.argv[2])
disk = open(sys.argv[3], "rb").read()
before = resource.prlimit(pid, resource.RLIMIT_AS)


def limit_to_what_it_has():
    with open(f"/proc/{pid}/statm") as file:
        pages = int(file.read().split()[0])
    resource.prlimit(pid, resource.RLIMIT_AS, (pages * resource.getpagesize(), before[1]))


client = nbd.Client(uri)
limit_to_what_it_has()
read = client.send(nbd.CMD_READ, 4096, 4096)
write = client.send(nbd.CMD_WRITE, 8192, 4096, payload=b"w" * 4096)
try:
    client.socket.settimeout(1)
    client.receive()
    raise AssertionError("it was answered without memory")
except TimeoutError:
    pass
client.socket.settimeout(60)
resource.prlimit(pid, resource.RLIMIT_AS, before)
replies = {reply.cookie: reply for reply in (client.receive(), client.receive())}
equal("data", replies[read].check().data if replies[read].data else b"", disk[4096:8192])
replies[write].check()
disk = disk[:8192] + b"w" * 4096 + disk[12288:]

# Buffers of one size that nobody uses make room for those of another one.
limit_to_what_it_has()
equal("a large read", client.read(0, 32 << 20), disk)
PYTHON_END
stop_nbdcrypt

# There is none for long.
start_nbdcrypt --raw --threads 1 "$image"
python - "$uri" "$pid" <<'PYTHON_END'
import resource
import sys

import nbd_client as nbd
from nbd_client import equal

uri, pid = sys.argv[1], int(sys.argv[2])
before = resource.prlimit(pid, resource.RLIMIT_AS)
client = nbd.Client(uri)
with open(f"/proc/{pid}/statm") as file:
    pages = int(file.read().split()[0])
resource.prlimit(pid, resource.RLIMIT_AS, (pages * resource.getpagesize(), before[1]))
for command, payload in ((nbd.CMD_READ, b""), (nbd.CMD_WRITE, b"w" * 4096)):
    client.send(command, 0, 4096, payload=payload)
for _ in range(2):
    equal("error", client.receive().error, nbd.ENOMEM)
client.flush()
resource.prlimit(pid, resource.RLIMIT_AS, before)
client.read(0, 1 << 20)
PYTHON_END
stop_nbdcrypt
expect_match "$server_log" 'warning: memory: there is none for data buffers; clients wait'

# Less than what each client may always have, and clients that read nothing.
start_nbdcrypt --raw --threads 1 --memory-max 4M "$image"
python - "$uri" "$pid" <<'PYTHON_END'
import sys
import time

from nbd_client import CMD_READ, CMD_WRITE, Client, wait_for

uri, pid = sys.argv[1], int(sys.argv[2])


def resident_kib():
    with open(f"/proc/{pid}/status") as file:
        return int(next(line for line in file if line.startswith("VmRSS:")).split()[1])


at_first = resident_kib()
old = Client(uri)
greedy = []
for _ in range(24):
    client = Client(uri, receive_buffer_bytes=4096)
    client.socket.sendall(b"".join(client.request_bytes(CMD_READ, 0, 1 << 20) for _ in range(16)))
    greedy.append(client)
start = time.monotonic()
old.read(0, 1 << 20)
new = Client(uri)
new.read(0, 1 << 20)
assert time.monotonic() - start < 40
assert resident_kib() < at_first + 6144, f"{at_first} KiB have become {resident_kib()}"
for client in greedy:
    client.socket.close()

# The same of clients that begin to write and send no more of it.
half = []
for _ in range(40):
    client = Client(uri)
    client.socket.sendall(client.request_bytes(CMD_WRITE, 0, 256 << 10) + b"w")
    half.append(client)
start = time.monotonic()
new.read(0, 1 << 20)
assert time.monotonic() - start < 40
for client in half:
    client.socket.close()
wait_for(lambda: resident_kib() < at_first + 1500 or None, "the memory is given back")
new.read(0, 1 << 20)
PYTHON_END
stop_nbdcrypt
expect_match "$server_log" 'stalled while others waited for memory; dropped'
expect_failure 2 "--memory-max: 1048576 is too small: the least is 4194304" serve --memory-max 1M "$image"
