"""What the kernel tells about a process and those that it has forked: CPU time and memory (proc(5))."""
import os
import threading
import time

NS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    """A sentence for the person at the terminal."""


def read_stat(pid):
    """The fields of /proc/PID/stat behind the name (which may hold anything); None: no such process."""
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def is_running(pid):
    fields = read_stat(pid)
    return fields is not None and fields[0] != "Z"


def tree(root):
    """The process and its descendants, the process first."""
    children = {}
    for name in os.listdir("/proc"):
        fields = read_stat(int(name)) if name.isdigit() else None
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(int(name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def cpu_ns_of(pid):
    """Of all threads of the process, also of those that have ended and of the kernel's io_uring workers,
    which are threads of it too; and of the children that it has waited for."""
    fields = read_stat(pid)
    if fields is None:
        return 0
    ended_ns = (int(fields[13]) + int(fields[14])) * NS_PER_TICK
    try:
        # The clock that clock_getcpuclockid(3) gives: in ns, where /proc/PID/stat has ticks of 10 ms.
        return time.clock_gettime_ns((~pid << 3) | 2) + ended_ns
    except OSError:
        return (int(fields[11]) + int(fields[12])) * NS_PER_TICK + ended_ns


def cpu_ns_of_tree(root):
    """What a process has used that ends meanwhile is missing in the sum, or twice in it: the sum is made again then.
    The kernel tells in ticks of 10 ms what those have used that were waited for."""
    while True:
        found = tree(root)
        used_ns = sum(cpu_ns_of(pid) for pid in found)
        if tree(root) == found:
            return used_ns


def memory_kib(pid, name):
    """VmRSS or VmHWM (the most that VmRSS has been) of the process; 0 when it is gone."""
    try:
        with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith(name + ":"):
                    return int(line.split()[1])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


class PeakMemory:
    """The most resident memory of a process.  For a server that forks, the sum over what it has forked is
    looked at four times a second: pages that they share are counted in each."""

    PERIOD_S = 0.25

    def __init__(self, pid, forks):
        self.pid = pid
        self.peak_kib = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True) if forks else None

    def __enter__(self):
        if self.thread is not None:
            self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        if self.thread is not None:
            self.thread.join()
        self.peak_kib = max(self.peak_kib, memory_kib(self.pid, "VmHWM"))

    def _watch(self):
        while not self.ended.wait(self.PERIOD_S):
            self.peak_kib = max(self.peak_kib, sum(memory_kib(pid, "VmRSS") for pid in tree(self.pid)))
