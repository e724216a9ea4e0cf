#!/bin/bash
# The worker with the fewest clients gets the next one, so that those who stay share the threads whatever the others do.
. "$(dirname "$0")/../support/functions.sh"

# No more than six at a time: a newcomer gets in when a place is free, and not while the server still
# counts one that has left.
start_nbdcrypt --raw --verbose --threads 3 --max-connections 6 memory:1M
python - "$uri" "$server_log" <<'EOF'
import re
import sys
from nbd_client import *

uri, log = sys.argv[1:]
attached = []  # (client, its worker), in order of arrival


def workers_in_log():
    """Of each client that ever was, in order."""
    return re.findall(r"attached export '' \(worker (\d+)\)\n", open(log).read())


def one_more():
    try:
        return Client(uri)
    except (NbdError, EndOfStream, ConnectionResetError, BrokenPipeError):
        return None


def arrive(count):
    for _ in range(count):
        known = len(workers_in_log())
        client = wait_for(one_more, "there is a place")
        wait_for(lambda: len(workers_in_log()) > known, "the log tells its worker")
        attached.append((client, int(workers_in_log()[known])))


def leave(*workers):
    """One client of each of these."""
    for worker in workers:
        at = next(i for i, (_, of) in enumerate(attached) if of == worker)
        attached.pop(at)[0].disconnect()


def expect_even_load(what):
    equal(what, [sum(of == worker for _, of in attached) for worker in range(3)], [2, 2, 2])


arrive(6)
expect_even_load("six clients")
leave(1, 1)
arrive(2)
expect_even_load("after two of one worker were replaced")
leave(2, 2, 0)
arrive(3)
expect_even_load("after two of another and one of the first were replaced")
EOF
stop_nbdcrypt
