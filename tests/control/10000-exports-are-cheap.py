"""What changes of one export, and lists of all, cost the workers of a server, in CPU time, which others on the machine don't add to.

    changes PID CONTROL PROGRAM IMAGE    adds and removes an export: the median of what the busiest worker took for each, in us
    lists PID URI COUNT TIMES            asks for a list of COUNT exports: what the workers took for each export, in ns
"""

import glob
import re
import statistics
import subprocess
import sys
import nbd_client as nbd

CHANGES = 11


def worker_ns(pid):
    """Of each worker, the CPU time since its beginning."""
    found = {}
    for task in glob.glob(f"/proc/{pid}/task/*"):
        if re.fullmatch(r"nbdcrypt-[0-9]+\n", open(f"{task}/comm").read()):
            found[task] = int(open(f"{task}/schedstat").read().split()[0])
    assert found, "no worker was found"
    return found


def changes(pid, control, program, image):
    took_ns = []
    for number in range(2 * CHANGES):
        change = ["add", "one", image, "raw=yes"] if number % 2 == 0 else ["remove", "one"]
        before = worker_ns(pid)
        subprocess.run([program, "ctl", "--socket", control, *change], check=True, stdout=subprocess.DEVNULL)
        after = worker_ns(pid)
        took_ns.append(max(after[one] - before[one] for one in before))
    print(int(statistics.median(took_ns)) // 1000)


def lists(pid, uri, count, times):
    client = nbd.Client(uri, handshake=False)
    client.send_client_flags()
    before = worker_ns(pid)
    for _ in range(int(times)):
        nbd.equal("replies", len(client.option(nbd.OPT_LIST)), int(count) + 1)
    after = worker_ns(pid)
    print(sum(after[one] - before[one] for one in before) // (int(count) * int(times)))


{"changes": changes, "lists": lists}[sys.argv[1]](*sys.argv[2:])
