#!/bin/bash
# --max-connections holds: one more is told so and turned away, and let in when another has left.
. "$(dirname "$0")/../support/functions.sh"

requires nbdcopy --version
requires qemu-img --version

start_nbdcrypt --raw --max-connections 3 --handshake-timeout 3600 memory:1M
python - "$uri" <<'EOF'
import subprocess
import sys
from nbd_client import *

uri = sys.argv[1]
clients = [Client(uri) for _ in range(3)]
SENTENCE = "there are as many clients as the server takes; try again later"


def told_by(*command):
    """What a program of others tells its user when it is turned away."""
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode == 0:
        raise AssertionError(f"{command[0]} was let in")
    return done.stderr


def expect_in(what, part, text):
    if part not in text:
        raise AssertionError(f"{what}: expected {part!r} in {text!r}")


expect_in("qemu-img", SENTENCE, told_by("qemu-img", "info", uri))
expect_in("nbdcopy", "server policy prevents NBD_OPT_GO", told_by("nbdcopy", uri, "null:"))
for client in clients:
    equal("read", client.read(0, 4), bytes(4))

# Each option is refused, the data of it thrown away, and there is an end of it.
surplus = Client(uri, handshake=False)
surplus.send_client_flags()
for option, data in [(OPT_STRUCTURED_REPLY, b""), (OPT_LIST, b""), (99, b"x" * 5000), (OPT_STARTTLS, b"")] * 4:
    surplus.send_option(option, data)
    kind, text = surplus.receive_option_reply(option)
    equal("reply", (kind, text.decode()), (REP_ERR_POLICY, SENTENCE))
surplus.send_option(OPT_LIST)
equal("reply", surplus.receive_option_reply(OPT_LIST)[0], REP_ERR_POLICY)
surplus.expect_end()

surplus = Client(uri, handshake=False)
surplus.send_client_flags()
surplus.send_option(OPT_EXPORT_NAME)
surplus.expect_end()

# ABORT is answered as always.
surplus = Client(uri, handshake=False)
surplus.send_client_flags()
surplus.send_option(OPT_ABORT)
equal("ABORT", surplus.receive_option_reply(OPT_ABORT)[0], REP_ACK)
surplus.expect_end()


# However many come, few of them are listened to, and those that say nothing not for long.
def greeted():
    try:
        return Client(uri, handshake=False)
    except (EndOfStream, ConnectionResetError, BrokenPipeError):
        return None


crowd = [greeted() for _ in range(200)]
held = [client for client in crowd if client]
if not held or len(held) == len(crowd):
    raise AssertionError(f"{len(held)} of {len(crowd)} surplus clients got a greeting")

# They take nobody's place.
clients.pop().disconnect()


def one_more():
    try:
        return Client(uri)
    except (NbdError, EndOfStream, ConnectionResetError, BrokenPipeError):
        return None


newcomer = wait_for(one_more, "a place is free again")
equal("read", newcomer.read(0, 4), bytes(4))
for client in held:
    client.expect_end()
equal("read", newcomer.read(0, 4), bytes(4))
EOF
stop_nbdcrypt

# The server can end while it tells one that there is no place.
start_nbdcrypt --raw --max-connections 1 memory:1M
python - "$uri" "$pid" <<'EOF'
import os
import signal
import sys
from nbd_client import *

client = Client(sys.argv[1])
surplus = Client(sys.argv[1], handshake=False)
os.kill(int(sys.argv[2]), signal.SIGTERM)
surplus.expect_end()
EOF
status=0
wait "$pid" || status=$?
expect_equal "exit status after SIGTERM" 0 "$status"
