#!/bin/bash
# A client that asks for the context "nbdcrypt:uuid:" is told the UUID of the volume, of the export that it may attach; a
# disk without LUKS has none, and nobody can set it.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
image=$(temp_file)
format_luks2 "$image" 1M
uuid=$(cryptsetup luksUUID "$image")
start_nbdcrypt --key-file "$passphrase" --export "disk=$image" --export raw=memory:1M,raw
python - "$uri" "$uuid" <<'EOF'
import sys
from nbd_client import *

client = Client(sys.argv[1], handshake=False)
client.send_client_flags()
client.want_structured_replies()
def contexts(name, *queries, option=OPT_LIST_META_CONTEXT):
    replies = client.option(option, client.meta_payload(name, queries))
    return [payload[4:].decode() for kind, payload in replies[:-1]]
equal("disk", contexts("disk", "nbdcrypt:uuid:"), ["nbdcrypt:uuid:" + sys.argv[2]])
equal("raw", contexts("raw", "nbdcrypt:uuid:"), [])
equal("not asked for", contexts("disk"), ["base:allocation"])
equal("set", contexts("disk", "nbdcrypt:uuid:", option=OPT_SET_META_CONTEXT), [])
EOF
