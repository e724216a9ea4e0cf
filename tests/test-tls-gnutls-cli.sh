#!/bin/bash
# gnutls-cli, which verifies the server's certificate by itself, gets through STARTTLS and lists the exports.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/tls.sh"
requires gnutls-cli --version

make_pki
start_tls_nbdcrypt --raw --name disk memory:1M
# shellcheck disable=SC2154 # port is set by start_tls_nbdcrypt
python - "$port" "$pki/client" <<'PYTHON_END'
import os
import signal
import struct
import subprocess
import sys

port, client = sys.argv[1:]
STARTTLS, LIST, ABORT = 5, 3, 2
ACK, SERVER = 1, 2
cli = subprocess.Popen(
    ["gnutls-cli", "--starttls", f"--x509cafile={client}/ca-cert.pem", f"--x509certfile={client}/client-cert.pem",
     f"--x509keyfile={client}/client-key.pem", f"--port={port}", "localhost"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
said = b""


def expect(what):
    global said
    while what not in said:
        data = os.read(cli.stdout.fileno(), 65536)
        assert data, f"it ended before {what}: {said}"
        said += data
    said = said[said.index(what) + len(what):]


def ask(option):
    cli.stdin.write(b"IHAVEOPT" + struct.pack(">II", option, 0))


def expect_reply(option, reply, payload):
    expect(struct.pack(">QIII", 0x3E889045565A9, option, reply, len(payload)) + payload)


expect(b"NBDMAGICIHAVEOPT")
cli.stdin.write(struct.pack(">I", 3))
ask(STARTTLS)
expect_reply(STARTTLS, ACK, b"")
cli.send_signal(signal.SIGALRM)     # begins TLS
expect(b"The certificate is trusted.")
expect(b"- Options:")
ask(LIST)
expect_reply(LIST, SERVER, struct.pack(">I", 4) + b"disk")
expect_reply(LIST, ACK, b"")
ask(ABORT)
expect_reply(ABORT, ACK, b"")
cli.stdin.close()
assert cli.wait(30) == 0
PYTHON_END
expect_match "$server_log" 'TLS1\.3, .*, certificate CN=vm7$'
stop_nbdcrypt
