import json
import sys
from nbd_client import *

names = [export["export-name"] for export in json.load(open(sys.argv[1]))["exports"]]
equal("names", names, ["good"])
for name, number, sentence in (
        ("bad", REP_ERR_UNKNOWN, "export 'bad' is not open at the moment: the log of the server says why"),
        ("", REP_ERR_UNKNOWN, "there is no default export: ask for one by name")):
    client = Client(sys.argv[2], handshake=False)
    client.send_client_flags()
    try:
        client.go(name=name)
        raise AssertionError(f"{name!r} was found")
    except NbdError as refusal:
        equal(f"GO {name!r}", refusal.number, number)
        assert sentence in str(refusal), refusal
