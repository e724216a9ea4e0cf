"""mode-changes-under-clients.py PLAIN-URI TLS-URI PKI CONFIG CONTROL: TLS is switched on, demanded and off by reloads, while
clients are at each stage of a handshake."""
import os
import re
import sys

import nbd_client as nbd
from nbd_client import Client
from tls_client import TlsClient, context
from varlink_client import Connection

plain_uri, tls_uri, pki, config, control = sys.argv[1:]


def mode(name):
    with open(config, encoding="utf-8") as file:
        text = file.read()
    lines = f"[tls]\nmode = {name}\n" + ("" if name == "off" else f"certificates = {pki}/server\n")
    text = re.sub(r"\[tls\]\n(?:(?:mode|certificates) = .*\n)*", lines, text)
    with open(config + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(config + ".new", config)
    Connection(control).call("Reload")


def in_handshake():
    client = Client(plain_uri, handshake=False)
    client.send_client_flags()
    return client


def ends(client):
    try:
        client.call(nbd.CMD_READ, 0, 512)
        return False
    except nbd.AWAY:
        return True


# off -> require: who is attached in the clear goes, who is in the handshake has to use TLS
mode("off")
attached, early = Client(plain_uri), in_handshake()
mode("require")
assert ends(attached)
try:
    early.go()
    raise AssertionError("a client without TLS was let in")
except nbd.NbdError as error:
    assert error.number == nbd.REP_ERR_TLS_REQD, error.number

# require -> off: who uses TLS goes on, also who is about to
mode("on")
encrypted = TlsClient(tls_uri, context(pki, "client"))
begun = in_handshake()
assert begun.option_result(nbd.OPT_STARTTLS) == nbd.REP_ACK
mode("off")
encrypted.write(0, b"x" * 4096)
assert encrypted.read(0, 4096) == b"x" * 4096
begun.socket.close()
Client(plain_uri).disconnect()
assert in_handshake().option_result(nbd.OPT_STARTTLS) == nbd.REP_ERR_UNSUP
