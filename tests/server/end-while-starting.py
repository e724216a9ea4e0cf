import os
import pty
import signal
import sys
import termios

program, image, path = sys.argv[1:]
child, terminal = pty.fork()
if child == 0:
    os.execv(program, [program, "serve", "--unix", path, image])
said = b""
while b"Passphrase for" not in said:
    said += os.read(terminal, 4096)
while termios.tcgetattr(terminal)[3] & termios.ECHO:
    pass
os.write(terminal, b"half of it\x03")
status = os.waitpid(child, 0)[1]
assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT, status
assert termios.tcgetattr(terminal)[3] & termios.ECHO, "the terminal does not echo any more"
assert not os.path.exists(path)
