#!/bin/bash
# Strangers who connect and choose nothing take nobody's place: who is attached stays, and a new client gets in beside
# them. One address has a share of the places, and others still get theirs. When the process has no descriptor left a
# client is turned away, instead of waiting, and served again when there is one.
. "$(dirname "$0")/../support/functions.sh"

image=$(temp_file)
truncate --size=1M "$image"
start_nbdcrypt --raw --max-connections 120 --handshake-timeout 3600 --listen 127.0.0.1:0 "$image"

python - "$port" <<'PYTHON_END'
import socket
import sys

from nbd_client import AWAY, Client, equal, wait_for

port = int(sys.argv[1])
uri = f"nbd://127.0.0.1:{port}/"


def stranger(source):
    return socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(source, 0))


def attached_from(source):
    """A client of that address, or None when it is turned away."""
    original = socket.create_connection
    socket.create_connection = lambda address, *rest, **named: original(
        address, timeout=60, source_address=(source, 0))
    try:
        return Client(uri)
    except AWAY:
        return None
    finally:
        socket.create_connection = original


# Of each address fewer than its share, all together more than there are places for handshakes.
old = attached_from("127.0.0.9")
crowd = [stranger(f"127.0.1.{1 + number % 20}") for number in range(300)]
equal("read of who was there", old.read(0, 512), bytes(512))
for connection in crowd[:200]:
    connection.close()
new = wait_for(lambda: attached_from("127.0.0.8"), "a client gets in beside idle strangers")
equal("read", new.read(0, 512), bytes(512))
for connection in crowd:
    connection.close()

# A quarter of the places for one address.
wait_for(lambda: attached_from("127.0.0.7"), "the strangers are gone").disconnect()
mine = [client for client in (attached_from("127.0.0.6") for _ in range(60)) if client]
equal("connections of one address", len(mine), 30)
other = attached_from("127.0.0.5")
equal("read of another address", other.read(0, 512), bytes(512))
for client in mine:
    client.disconnect()

PYTHON_END
stop_nbdcrypt
expect_match "$server_log" 'turned away, [0-9]+ clients are in their handshake'
expect_match "$server_log" 'turned away, it has 30 connections \(--max-connections-per-client\)'

# No descriptor is left.
export NBDCRYPT_ALLOW_CORE=1 # lets an ordinary user count its descriptors
start_nbdcrypt --raw --listen 127.0.0.1:0 "$image"
python - "$uri" "$pid" <<'PYTHON_END'
import os
import resource
import socket
import sys
import urllib.parse

from nbd_client import AWAY, Client, equal, wait_for

uri, pid = sys.argv[1], int(sys.argv[2])
address = urllib.parse.urlsplit(uri)


def newcomer():
    try:
        return Client(uri)
    except AWAY:
        return None


client = Client(uri)
before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
lowest_free = next(number for number in range(len(used) + 1) if number not in used)
resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free, before[1]))
tried = [socket.create_connection((address.hostname, address.port), timeout=60) for _ in range(20)]
greeted = [len(connection.recv(18)) for connection in tried]
assert greeted.count(0) >= 10, greeted
for connection in tried:
    connection.close()
equal("read meanwhile", client.read(0, 512), bytes(512))
resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
equal("read after that", wait_for(newcomer, "there are descriptors again").read(0, 512), bytes(512))
PYTHON_END
stop_nbdcrypt
expect_match "$server_log" 'turned away, this process has as many descriptors as it may have'
