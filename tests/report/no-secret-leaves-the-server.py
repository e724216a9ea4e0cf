"""SECRETS FILE...: no file of SECRETS is in any FILE, as it is or in a form that a text might have it in.  What is searched for is
each eighth byte on of a secret, 16 bytes long, so that a part is found, too."""
import base64
import pathlib
import sys
import urllib.parse

WINDOW = 16


def forms(secret):
    """Of a part of it, by name; base64 in each of the three ways that it may stand in a longer one."""
    yield "as it is", secret
    yield "hexadecimal", secret.hex().encode()
    yield "hexadecimal, with blanks", secret.hex(" ").encode()
    yield "hexadecimal, with colons", secret.hex(":").encode()
    yield "with percent signs", urllib.parse.quote_from_bytes(secret, safe="").encode()
    yield "escaped as in the log", "".join(chr(b) if 32 <= b < 127 else f"\\x{b:02x}" for b in secret).encode()
    yield "UTF-16", secret.decode("latin-1").encode("utf-16-le")
    for skip in range(3):
        whole = base64.b64encode(b"\0" * skip + secret)
        first, last = (skip * 4 + 2) // 3, len(whole) - 4
        yield f"base64, {skip} bytes on", whole[first:last]
        yield f"base64 of URLs, {skip} bytes on", base64.urlsafe_b64encode(b"\0" * skip + secret)[first:last]


found = checked = 0
secrets = {path.name: path.read_bytes().rstrip(b"\n") for path in pathlib.Path(sys.argv[1]).iterdir()}
needles = {}
for name, secret in secrets.items():
    assert len(secret) >= WINDOW, f"{name} is too short to be told from chance"
    for at in range(0, len(secret) - WINDOW + 1, 8):
        for form, needle in forms(secret[at:at + WINDOW]):
            needles.setdefault(needle.lower(), f"{name}, from byte {at} on, {form}")
for path in sys.argv[2:]:
    data = pathlib.Path(path).read_bytes()
    assert data, f"{path} is empty"
    small = data.lower()
    checked += 1
    for needle, what in needles.items():
        if needle in small:
            print(f"{path}: {what}", file=sys.stderr)
            found += 1
print(f"{len(secrets)} secrets, {len(needles)} forms of their parts, {checked} files: found {found} times", file=sys.stderr)
sys.exit(found > 0)
