#!/bin/bash
# `nbdcrypt key` asks on a terminal: the old passphrase once, the new one twice, nothing of it is echoed; when the two
# differ nothing is changed.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
image=$(temp_file) typed=$(temp_file)
format_luks2 "$image" 1M
printf 'typed by hand' >"$typed"

# at_terminal STATUS OUTPUT LINE... -- ARGUMENT...: the program on a terminal, where each LINE is typed when it asks; what it
# shows, without line ends, must match OUTPUT (a Python regular expression).
at_terminal() {
    python - "$NBDCRYPT" "$@" <<'EOF_PYTHON'
import os
import pty
import re
import sys
import termios
import time

program, status, pattern, *rest = sys.argv[1:]
lines, arguments = rest[:rest.index("--")], rest[rest.index("--") + 1:]
child, terminal = pty.fork()
if child == 0:
    os.execv(program, [program, *arguments])
shown = b""
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    shown += part
    if lines and shown.endswith(b": "):
        while termios.tcgetattr(terminal)[3] & termios.ECHO:
            time.sleep(0.01)
        os.write(terminal, lines.pop(0).encode() + b"\n")
        shown += b"|"
got = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
text = re.sub("\r\x1b\\[K([A-Z][a-z ]+ \\.\\.\\. [0-9]+ s)?", "", shown.decode().replace("\r\n", "")) # see below
if got != int(status) or lines or not re.fullmatch(pattern, text):
    raise SystemExit(f"status {got}, left to type {lines}, shown: {text}")
EOF_PYTHON
}

new="New passphrase for '$image': \\|Once more, for '$image': \\|"
at_terminal 0 "Passphrase for '$image': \\|${new}The new key is in keyslot 1 of $image." \
    "$(<"$passphrase")" "$(<"$typed")" "$(<"$typed")" -- key add "${fast[@]}" "$image"
cryptsetup open --test-passphrase --disable-locks --key-file "$typed" "$image"
at_terminal 0 "Passphrase for '$image': \\|This key opens keyslot 1 of $image." "$(<"$typed")" -- key test "$image"
before=$(sha256_of "$image")
at_terminal 1 "${new}nbdcrypt: the two passphrases differ; nothing was changed" \
    "one" "other" -- key change --key-file "$passphrase" "${fast[@]}" "$image"
at_terminal 1 "Passphrase for '$image': \\|nbdcrypt: image '$image': no keyslot opens with this key" \
    "nonsense" -- key remove "$image"
expect_equal "the image" "$before" "$(sha256_of "$image")"
at_terminal 0 "Passphrase for '$image': \\|The key in keyslot 1 of $image is removed." "$(<"$typed")" -- \
    key remove "$image"

# What takes long says so, and how long it has taken.  Sanitizers would make it take minutes.
[ -z "${SANITIZERS-}" ] || exit 0
slow=$(temp_file)
rm "$slow"
expect_success format --pbkdf pbkdf2 --pbkdf-iterations 6000000 --size 1M --key-file "$passphrase" "$slow"
python - "$NBDCRYPT" "$passphrase" "$slow" <<'EOF_PYTHON'
import os
import pty
import sys

program, passphrase, image = sys.argv[1:]
child, terminal = pty.fork()
if child == 0:
    os.execv(program, [program, "key", "test", "--key-file", passphrase, image])
shown = b""
while b"This key opens" not in shown:
    shown += os.read(terminal, 4096)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert b"\r\x1b[KDeriving the key ... 1 s" in shown and b"\r\x1b[KThis key opens" in shown, shown
EOF_PYTHON
expect_success key test --key-file "$passphrase" "$slow"
[ ! -s "$err" ] || fail "without a terminal it says: $(<"$err")"
