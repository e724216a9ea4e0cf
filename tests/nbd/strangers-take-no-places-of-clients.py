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

