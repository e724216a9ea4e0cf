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
