import socket
import ssl
import struct
import sys
import nbd_client as nbd
from tls_client import TlsClient


def context(folder, end, version):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if end == "client" else ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = tls.maximum_version = getattr(ssl.TLSVersion, version)
    tls.load_verify_locations(f"{folder}/ca-cert.pem")
    tls.load_cert_chain(f"{folder}/{end}-cert.pem", f"{folder}/{end}-key.pem")
    return tls


def client(uri, folder, version):
    try:
        TlsClient(uri, context(folder, "client", version)).read(0, 512)
    except (ssl.SSLError, OSError, nbd.EndOfStream) as error:
        return str(error) or "closed"
    return "served"


def accept(ready):
    """A connection up to STARTTLS."""
    listener = socket.create_server(("127.0.0.1", 0))
    with open(ready, "w") as out:
        out.write(f"{listener.getsockname()[1]}\n")
    connection, _ = listener.accept()
    connection.sendall(struct.pack(">QQH", nbd.MAGIC_INIT, nbd.MAGIC_OPTION, 3))
    connection.recv(4, socket.MSG_WAITALL)
    connection.recv(16, socket.MSG_WAITALL)
    connection.sendall(struct.pack(">QIII", nbd.MAGIC_OPTION_REPLY, nbd.OPT_STARTTLS, nbd.REP_ACK, 0))
    return connection


def server(ready, folder, version):
    try:
        context(folder, "server", version).wrap_socket(accept(ready), server_side=True).recv(1)
    except OSError:
        pass


def group_server(ready, prime_bytes):
    """TLS 1.2 with a pre-shared key, where the server chooses a group for Diffie-Hellman."""
    def message(kind, body):
        return bytes([kind]) + len(body).to_bytes(3, "big") + body

    connection = accept(ready)
    connection.recv(65536)
    number = b"\xff" * int(prime_bytes)
    hello = message(2, b"\3\3" + bytes(32) + b"\0" + b"\0\xaa" + b"\0")
    key = message(12, struct.pack(">HH", 0, len(number)) + number + b"\0\1\2" + b"\0\1\3")
    for part in hello, key, message(14, b""):
        connection.sendall(b"\x16\3\3" + struct.pack(">H", len(part)) + part)
    connection.recv(65536)


print({"client": client, "server": server, "group-server": group_server}[sys.argv[1]](*sys.argv[2:]))
