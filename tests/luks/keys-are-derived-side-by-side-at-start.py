import os
import pty
import re
import signal
import sys
import termios

passphrase, *command = sys.argv[1:]
child, terminal = pty.fork()
if child == 0:
    os.execv(command[0], command)
said = b""
while b"nbd+unix:" not in said:
    before = said.count(b"Passphrase for")
    said += os.read(terminal, 4096)
    if said.count(b"Passphrase for") > before:
        while b"': " not in said.rpartition(b"Passphrase for")[2]:
            said += os.read(terminal, 4096)
        while termios.tcgetattr(terminal)[3] & termios.ECHO: # what is typed before is thrown away
            pass
        os.write(terminal, passphrase.encode() + b"\n")
os.kill(child, signal.SIGTERM)
asked = re.findall(rb"Passphrase for '[^']*\.(\d+)': ", said)
assert asked == [b"1", b"2"], said
for line in re.split(rb"\r\n", said):
    shown = line.rpartition(b"\r\x1b[K")[2]
    assert re.match(rb"$|nbdcrypt: |nbd\+unix:|Passphrase for '[^']*': $", shown), (line, said)
while True:
    try:
        if not os.read(terminal, 4096):
            break
    except OSError:
        break
assert os.waitpid(child, 0)[1] == 0
