"""client.py PROGRAM PORT FOLDER PLAIN: PROGRAM's standard input and output are the stream under TLS."""
import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading

program, port, folder, plain = sys.argv[1:]
STARTTLS, LIST, GO = 5, 3, 7
ACK, SERVER, INFO = 1, 2, 3
READ, WRITE, DISC, FLUSH = 0, 1, 2, 3
PIECE_BYTES = 65536


def option(number, data=b""):
    return b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data


class Client:
    """A program that says what its certificates are worth in the middle of its output."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, bufsize=0)
        self.said = b""

    def write(self, data):
        while data:
            data = data[self.process.stdin.write(data):]

    def more(self):
        data = os.read(self.process.stdout.fileno(), 65536)
        assert data, f"{program} ended after {self.said[-2000:]}"
        self.said += data

    def read(self, count):
        while len(self.said) < count:
            self.more()
        data, self.said = self.said[:count], self.said[count:]
        return data

    def expect(self, what):
        while what not in self.said:
            self.more()
        self.said = self.said[self.said.index(what) + len(what):]

    def expect_reply(self, number, reply, payload):
        self.expect(struct.pack(">QIII", 0x3E889045565A9, number, reply, len(payload)) + payload)

    def request(self, command, offset=0, length=0, data=b"", answer_bytes=0):
        self.write(struct.pack(">IHHQQI", 0x25609513, 0, command, offset, offset, length) + data)
        if command == DISC:
            return None
        assert self.read(16) == struct.pack(">IIQ", 0x67446698, 0, offset)
        return self.read(answer_bytes)


def gnutls_cli():
    client = Client("gnutls-cli", "--starttls", f"--x509cafile={folder}/ca-cert.pem",
                    f"--x509certfile={folder}/client-cert.pem", f"--x509keyfile={folder}/client-key.pem",
                    f"--port={port}", "localhost")
    client.expect(b"NBDMAGICIHAVEOPT")
    client.write(struct.pack(">I", 3) + option(STARTTLS))
    client.expect_reply(STARTTLS, ACK, b"")
    client.process.send_signal(signal.SIGALRM)     # begins TLS
    client.expect(b"The certificate is trusted.")
    client.expect(b"- Options:")
    return client


def relay(source, sink):
    with contextlib.suppress(OSError):     # either of them may go first
        while True:
            data = source.recv(65536)
            if not data:
                break
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def openssl():
    """It has no STARTTLS for NBD, so that is done for it, on the connection that it is then given."""
    server = socket.create_connection(("localhost", int(port)))
    server.sendall(struct.pack(">I", 3) + option(STARTTLS))
    assert len(server.recv(18 + 20, socket.MSG_WAITALL)) == 18 + 20
    listener = socket.create_server(("127.0.0.1", 0))
    client = Client("openssl", "s_client", "-quiet", "-nocommands", "-verify_return_error", "-verify_hostname",
                    "localhost", "-CAfile", f"{folder}/ca-cert.pem", "-cert", f"{folder}/client-cert.pem", "-key",
                    f"{folder}/client-key.pem", "-connect", "127.0.0.1:%d" % listener.getsockname()[1])
    program_end = listener.accept()[0]
    for ends in (program_end, server), (server, program_end):
        threading.Thread(target=relay, args=ends, daemon=True).start()
    client.expect(b"verify return:1")
    return client


def attach(client):
    client.write(option(LIST))
    client.expect_reply(LIST, SERVER, struct.pack(">I", 4) + b"disk")
    client.expect_reply(LIST, ACK, b"")
    client.write(option(GO, struct.pack(">I", 4) + b"disk" + struct.pack(">H", 0)))
    client.expect_reply(GO, ACK, b"")


data = open(plain, "rb").read()
client = gnutls_cli() if program == "gnutls-cli" else openssl()
attach(client)
for offset in range(0, len(data), PIECE_BYTES):
    client.request(WRITE, offset, PIECE_BYTES, data[offset:offset + PIECE_BYTES])
client.request(FLUSH)
for offset in range(0, len(data), PIECE_BYTES):
    assert client.request(READ, offset, PIECE_BYTES, answer_bytes=PIECE_BYTES) == data[offset:offset + PIECE_BYTES]
client.request(DISC)
client.process.stdin.close()
status = client.process.wait(30)
assert status == 0, f"{program} ended with {status}"
