#!/bin/bash
# Several exports with keys, headers and switches of their own: each serves its own data, LIST shows them in order, and
# a name that is not there is refused.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdcopy --version
requires qemu-img --version

first=$(temp_file) second=$(temp_file) third=$(temp_file) plain=$(temp_file) other=$(temp_file)
other_key=$(temp_file)
make_pattern "$plain" 2M 1
make_pattern "$other" 1M 2
encrypt_to_luks2 "$plain" "$first" --sector-size 4096
encrypt_to_luks2 "$other" "$second"
printf 'a key of its own' >"$other_key"
cryptsetup_quietly luksChangeKey "${fast_pbkdf[@]}" "$second" "$other_key"
make_pattern "$third" 512K 3
cp "$third" "$third.copy" # QEMU does not open what is being served
start_nbdcrypt --export "one=$first,key-file=$passphrase" \
    --export "two=$second,key-file=$other_key,read-only,description=the second" \
    --export "raw one=$third,raw"
one="nbd+unix:///one?socket=$socket" two="nbd+unix:///two?socket=$socket"
raw="nbd+unix:///raw%20one?socket=$socket"
expect_image "$plain" "$one"
expect_image "$other" "$two"
expect_image "$third.copy" "$raw"
nbdinfo --list --json "nbd+unix:///?socket=$socket" >"$test_dir/list"
python - "$test_dir/list" <<'EOF'
import json
import sys
from nbd_client import equal

exports = json.load(open(sys.argv[1]))["exports"]
equal("names, sizes, read-only, descriptions",
      [[e["export-name"], e["export-size"], e["is_read_only"], e.get("description")] for e in exports],
      [["one", 2097152, False, None], ["two", 1048576, True, "the second"],
       ["raw one", 524288, False, None]])
EOF
python - "$one" "$two" "$raw" <<'EOF'
import sys
from nbd_client import *

one, two, raw = map(Client, sys.argv[1:])
one.write(0, b"1" * 5000)
raw.write(0, b"3" * 5000)
equal("WRITE to two", two.error_of(CMD_WRITE, 0, 1, 0, b"2"), EPERM)
equal("one", one.read(0, 5000), b"1" * 5000)
equal("raw", raw.read(0, 5000), b"3" * 5000)
for name in ("", "three", "One", "on", "one "):
    client = Client(sys.argv[1], handshake=False)
    client.send_client_flags()
    try:
        client.go(name=name)
        raise AssertionError(f"{name!r} was found")
    except NbdError as refusal:
        equal(f"GO {name!r}", refusal.number, REP_ERR_UNKNOWN)
EOF
stop_nbdcrypt

# With --strict one that does not open stops them all, by name.
expect_failure 1 "image '$second': no keyslot opens with this key" \
    serve --strict --unix "$(temp_socket)" --export "one=$first,key-file=$passphrase" \
    --export "two=$second,key-file=$passphrase"
