#!/bin/bash
# `nbdcrypt key` asks on a terminal: the old passphrase once, the new one twice, nothing of it is echoed.  A wrong one, and
# two that differ, may be typed anew, three times in all; then nothing is changed.
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
differ="nbdcrypt: the two passphrases differ; "
at_terminal 1 "$new${differ}try again$new${differ}try again$new${differ}nothing was changed" \
    "one" "other" "one" "" "a" "b" -- key change --key-file "$passphrase" "${fast[@]}" "$image"
asked="Passphrase for '$image': \\|"
wrong="nbdcrypt: image '$image': no keyslot opens with this key"
for command in "key remove" "key test" "key add"; do
    # shellcheck disable=SC2086 # two words
    at_terminal 1 "$asked$wrong; try again$asked$wrong; try again$asked$wrong" \
        "nonsense" "more of it" "and more" -- $command "$image"
done
at_terminal 1 "${asked}nbdcrypt: the passphrase is empty; try again$asked$wrong; try again$asked$wrong; try again$asked$wrong" \
    "" "nonsense" "more of it" "and more" -- serve --run true "$image"
expect_equal "the image" "$before" "$(sha256_of "$image")"
at_terminal 0 "$asked$wrong; try again${asked}This key opens keyslot 1 of $image." "oops" "$(<"$typed")" -- key test "$image"
at_terminal 0 "$asked$wrong; try again$asked" "oops" "$(<"$typed")" -- serve --run true "$image"
at_terminal 0 "$asked$wrong; try again$asked${new}The new key is in keyslot 2 of $image." \
    "oops" "$(<"$typed")" "third" "third" -- key add "${fast[@]}" "$image"
at_terminal 0 "Passphrase for '$image': \\|The key in keyslot 1 of $image is removed." "$(<"$typed")" -- \
    key remove "$image"

# What takes long says so, and how long it has taken.  Sanitizers would make it take minutes.
[ -z "${SANITIZERS-}" ] || exit 0
slow=$(temp_file)
rm "$slow"
# expect_shown WORDS END ARGUMENT...: WORDS with the seconds, until END is shown.
expect_shown() {
    python - "$NBDCRYPT" "$@" <<'EOF_PYTHON'
import os
import pty
import sys

program, words, end, *arguments = sys.argv[1:]
child, terminal = pty.fork()
if child == 0:
    os.execv(program, [program, *arguments])
shown = b""
while end.encode() not in shown:
    shown += os.read(terminal, 4096)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert f"\r\x1b[K{words} ... 1 s".encode() in shown and f"\r\x1b[K{end}".encode() in shown, shown
EOF_PYTHON
}
expect_shown "Making the keyslot" "$slow is a LUKS2 volume now" \
    format --pbkdf pbkdf2 --pbkdf-iterations 6000000 --size 1M --key-file "$passphrase" "$slow"
expect_shown "Deriving the key" "This key opens" key test --key-file "$passphrase" "$slow"
expect_success key test --key-file "$passphrase" "$slow"
[ ! -s "$err" ] || fail "without a terminal it says: $(<"$err")"
