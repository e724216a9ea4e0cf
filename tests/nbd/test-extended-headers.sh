#!/bin/bash
# Extended headers byte for byte: what is agreed on and what is refused, requests and replies of 32 bytes, payloads that are
# announced by a flag, BLOCK_STATUS of chosen contexts; --no-extended-headers leaves clients what they had.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python "$source_dir/tests/nbd/extended-headers.py" "$uri" "$pipeline"
}
on_each_pipeline 16M check

image=$(temp_file)
truncate -s 1M "$image"
start_nbdcrypt --raw --no-extended-headers "$image"
python - "$uri" <<'EOF'
import sys
from nbd_client import *

with Client(sys.argv[1], handshake=False) as client:
    client.send_client_flags()
    equal("EXTENDED_HEADERS", client.option_result(OPT_EXTENDED_HEADERS), REP_ERR_UNSUP)
    client.want_structured_replies()
    client.want_contexts(["base:allocation"])
    client.go()
    equal("flags", client.flags & TF_STATUS_PAYLOAD, 0)
    equal("data", client.read(0, 512), bytes(512))
EOF
stop_nbdcrypt
