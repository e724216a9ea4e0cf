import os
import socket
import ssl
import struct
import sys
import time
import nbd_client as nbd
from nbd_client import equal, wait_for
from tls_client import TlsClient, context

uri, pki, pid = sys.argv[1], sys.argv[2], int(sys.argv[3])
tls = context(pki, "client")


def descriptors():
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_seconds():
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def option(number, data=b""):
    return struct.pack(">QII", nbd.MAGIC_OPTION, number, len(data)) + data


def good_client():
    client = TlsClient(uri, tls)
    client.read(0, 512)
    client.disconnect()


good_client()
at_first = wait_for(lambda: descriptors(), "descriptors")

# What is behind STARTTLS in one segment: from one byte to whole options, plain or like TLS.
structured = option(nbd.OPT_STRUCTURED_REPLY)
for behind in [structured[:n] for n in range(1, len(structured) + 1)] + [
        option(nbd.OPT_ABORT), option(nbd.OPT_STARTTLS), b"\x16\x03\x01\x02\x00\x01", b"\x00" * 5000]:
    client = TlsClient(uri)
    client.send_bytes(option(nbd.OPT_STARTTLS) + behind)
    client.expect_end()
# What comes after the answer, and is not TLS.
for behind in (structured, b"x", b"\x15\x03\x03\x00\x02\x01\x00", b"\x17\x03\x03\x00\x01x", b"GET / HTTP/1.1\r\n\r\n"):
    client = TlsClient(uri)
    equal("STARTTLS", client.option_result(nbd.OPT_STARTTLS), nbd.REP_ACK)
    client.send_bytes(behind)
    client.socket.shutdown(socket.SHUT_WR)
    while client.socket.recv(4096):
        pass
good_client()


def hello():
    """A ClientHello as OpenSSL makes it, and the objects that made it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = tls.wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return incoming, outgoing, session


def byte_by_byte():
    client = TlsClient(uri)
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    equal("STARTTLS", client.option_result(nbd.OPT_STARTTLS), nbd.REP_ACK)
    incoming, outgoing, session = hello()
    while True:
        pending = outgoing.read()
        for byte in pending:
            client.socket.send(bytes([byte]))
        try:
            session.do_handshake()
            break
        except ssl.SSLWantReadError:
            if not outgoing.pending:
                incoming.write(client.socket.recv(65536))
    for byte in outgoing.read():
        client.socket.send(bytes([byte]))
    session.write(option(nbd.OPT_LIST))
    for byte in outgoing.read():
        client.socket.send(bytes([byte]))
    while True:
        try:
            equal("magic", session.read(8), struct.pack(">Q", nbd.MAGIC_OPTION_REPLY))
            return
        except ssl.SSLWantReadError:
            incoming.write(client.socket.recv(65536))


byte_by_byte()

# The client goes after each byte of its first message (in part, and after what the server says).
first = hello()[1].read()
for cut in list(range(0, 12)) + list(range(12, len(first) + 1, 37)) + [len(first)]:
    client = TlsClient(uri)
    equal("STARTTLS", client.option_result(nbd.OPT_STARTTLS), nbd.REP_ACK)
    client.socket.send(first[:cut]) if cut else None
    if cut % 2:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()
good_client()

# Many that stall at different points hold up nobody, cost no time, and are gone after the limit.
stalled = []
for i in range(64):
    client = TlsClient(uri)
    equal("STARTTLS", client.option_result(nbd.OPT_STARTTLS), nbd.REP_ACK)
    client.socket.send(first[:i * len(first) // 63] or first[:1])
    stalled.append(client)
begin = time.monotonic()
for _ in range(5):
    good_client()
assert time.monotonic() - begin < 2.5, "stalled handshakes delay others"
before = cpu_seconds()
begin = time.monotonic()
for client in stalled:
    client.socket.settimeout(20)
    try:
        while client.socket.recv(65536):
            pass
    except ConnectionResetError:
        pass
    client.socket.close()
used = cpu_seconds() - before
assert used < 0.5, f"{used} s of processor time for clients that do nothing"

# A client that is through vanishes without a word, in the middle of a record or between two.
before = cpu_seconds()
for rest in (b"", b"\x17\x03\x03\x00\x40", b"\x17\x03\x03\x40\x00" + bytes(3000)):
    client = TlsClient(uri, tls)
    raw = socket.socket(fileno=os.dup(client.socket.fileno()))
    raw.send(rest)
    raw.shutdown(socket.SHUT_WR)
    client.socket.close()
    raw.close()
wait_for(lambda: descriptors() <= at_first, "descriptors are given back")
used = cpu_seconds() - before
assert used < 0.5, f"{used} s of processor time after clients have gone"
good_client()
