"""Connections that have done something once and are idle: what memory each takes in the server."""
import resource
import socket
import struct
import time

from harness import tls
from harness.process import Failure, memory_kib

# proto.md of NBD: newstyle negotiation, NBD_OPT_GO, simple replies
NBDMAGIC = 0x4E42444D41474943
IHAVEOPT = 0x49484156454F5054
OPTION_REPLY_MAGIC = 0x3E889045565A9
REQUEST_MAGIC = 0x25609513
SIMPLE_REPLY_MAGIC = 0x67446698
OPT_GO = 7
REP_ACK = 1
FIXED_NEWSTYLE_NO_ZEROES = 3

READ_BYTES = 4096
SPARE_FILES = 200


def _receive(peer, length_bytes):
    data = b""
    while len(data) < length_bytes:
        part = peer.recv(length_bytes - len(data))
        if not part:
            raise Failure("the server closed an idle connection")
        data += part
    return data


def _greet(peer):
    magic, have_option, _ = struct.unpack(">QQH", _receive(peer, 18))
    if (magic, have_option) != (NBDMAGIC, IHAVEOPT):
        raise Failure("this is no NBD server")
    peer.sendall(struct.pack(">L", FIXED_NEWSTYLE_NO_ZEROES))


def _go(peer, export):
    payload = struct.pack(">L", len(export)) + export + struct.pack(">H", 0)
    peer.sendall(struct.pack(">QLL", IHAVEOPT, OPT_GO, len(payload)) + payload)
    reply = None
    while reply != REP_ACK:
        magic, _, reply, length_bytes = struct.unpack(">QLLL", _receive(peer, 20))
        _receive(peer, length_bytes)
        if magic != OPTION_REPLY_MAGIC or reply & 0x80000000:
            raise Failure("the server refused the export (reply %#x)" % reply)


def _read_once(peer):
    peer.sendall(struct.pack(">LHHQQL", REQUEST_MAGIC, 0, 0, 1, 0, READ_BYTES))
    magic, error, _ = struct.unpack(">LLQ", _receive(peer, 16))
    if magic != SIMPLE_REPLY_MAGIC or error != 0:
        raise Failure("the server answered a read with error %d" % error)
    _receive(peer, READ_BYTES)


def most_connections(wanted):
    """How many of them this process and the server may have open; raises its limit for both."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, hard - SPARE_FILES)


def _settled_kib(pid):
    """Once it has not changed for a while: a server may be at work still when its client has its answer."""
    last_kib, since = memory_kib(pid, "VmRSS"), time.monotonic()
    deadline = since + 10
    while time.monotonic() < deadline and time.monotonic() - since < 0.3:
        time.sleep(0.05)
        now_kib = memory_kib(pid, "VmRSS")
        if now_kib != last_kib:
            last_kib, since = now_kib, time.monotonic()
    return last_kib


def measure(server, count):
    """Columns: what `count` connections that have read one block add to the resident memory of a server
    that has served a client before.  What the kernel keeps for sockets is not in it."""
    export = server.flavour.export.encode()
    credentials = server.setup.endpoint.credentials
    context = tls.context_of(credentials.client) if credentials is not None else None
    peers = []
    try:
        for _ in range(count + 1):
            peers.append(server.setup.endpoint.connect())
            peers[-1].settimeout(30)
            if context is not None:
                peers[-1] = tls.start(peers[-1], context)
            else:
                _greet(peers[-1])
            _go(peers[-1], export)
            _read_once(peers[-1])
            if len(peers) == 1:
                before_kib = _settled_kib(server.pid)
        after_kib = _settled_kib(server.pid)
    except OSError as error:
        raise Failure("connection %d failed: %s" % (len(peers) + 1, error)) from error
    finally:
        for peer in peers:
            peer.close()
    return {
        "connections": count,
        "server_peak_kib": after_kib,
        "idle_bytes_per_connection": round((after_kib - before_kib) * 1024 / count),
    }
