#!/bin/bash
# A client that starts the server by socket activation has standard output for itself: a copy through it is the disk,
# byte for byte, and JSON is JSON.
. "$(dirname "$0")/../support/functions.sh"

requires nbdcopy --version
requires nbdinfo --version
disk=$(temp_file) copy=$(temp_file) json=$(temp_file)
make_pattern "$disk" 1M

nbdcopy -- [ "$NBDCRYPT" serve --raw --read-only "$disk" ] - >"$copy" 2>"$log_dir/nbdcopy"
cmp "$disk" "$copy" || fail "nbdcopy wrote something else than the disk"
nbdinfo --json -- [ "$NBDCRYPT" serve --raw --read-only "$disk" ] >"$json" 2>"$log_dir/nbdinfo"
python - "$json" <<'PYTHON_END'
import json
import sys
from nbd_client import equal

with open(sys.argv[1]) as text:
    equal("size", json.load(text)["exports"][0]["export-size"], 1 << 20)
PYTHON_END
