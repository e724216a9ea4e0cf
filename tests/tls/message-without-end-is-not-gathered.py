import hashlib
import hmac
import os
import socket
import ssl
import struct
import sys
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tls_client import TlsClient, context

uri, pki, keys = sys.argv[1:]
tls = context(pki, "client")
tls.minimum_version = ssl.TLSVersion.TLSv1_3
tls.keylog_filename = keys
client = TlsClient(uri, tls, go=False)
client.socket.settimeout(20)
with open(keys) as file:
    secret = [line.split()[2] for line in file if line.startswith("CLIENT_TRAFFIC_SECRET_0")][-1]
assert client.socket.cipher()[0] == "TLS_AES_128_GCM_SHA256", client.socket.cipher()


def expand(label, length):
    """RFC 8446, 7.1: no more than one block is wanted."""
    info = struct.pack(">HB", length, 6 + len(label)) + b"tls13 " + label + b"\0"
    return hmac.new(bytes.fromhex(secret), info + b"\1", hashlib.sha256).digest()[:length]


key, iv = AESGCM(expand(b"key", 16)), int.from_bytes(expand(b"iv", 12), "big")
raw = socket.socket(fileno=os.dup(client.socket.fileno()))
message = b"\x04\xff\xff\xff"    # a ticket, say, of 16 MiB
try:
    for number in range(1024):
        plain = message.ljust(16000, b"\0") + b"\x16"
        header = struct.pack(">BHH", 23, 0x0303, len(plain) + 16)
        raw.sendall(header + key.encrypt((iv ^ number).to_bytes(12, "big"), plain, header))
        message = b""
except OSError:
    assert number < 512, f"it took {number} records"
else:
    raise AssertionError("it took all of it")
