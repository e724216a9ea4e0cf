"""What a figure depends on: the machine, the kernel and the versions."""
import os
import platform
import re
import subprocess

PROGRAMS = ("nbdkit", "qemu-nbd", "nbd-server", "fio", "nbdcopy")


def _field(path, name):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == name:
                    return value.strip()
    except OSError:
        pass
    return "unknown"


def version_of(program):
    """As "nbdkit 1.32.5", or None when it is not there."""
    try:
        said = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=10,
            check=False,
        ).stdout
    except OSError:
        return None
    number = re.search(r"\d+(\.\d+)+", said)
    return "%s %s" % (os.path.basename(program), number.group() if number else "?")


def _file_system_of(folder):
    """Its type, from the longest mount point that the folder is below (proc(5), mounts)."""
    folder = os.path.realpath(folder)
    best = ("", "unknown")
    with open("/proc/mounts", encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            _, point, kind = line.split()[:3]
            below = folder == point or folder.startswith(point.rstrip("/") + "/")
            if below and len(point) >= len(best[0]):
                best = (point, kind)
    return best[1]


def describe(folder, nbdcrypt):
    """Lines "key: value" for the head of the CSV and of the tables, and for the foot of charts."""
    memory_kib = int(_field("/proc/meminfo", "MemTotal").split()[0])
    flags = _field("/proc/cpuinfo", "flags").split()
    units = [title for flag, title in (("vaes", "VAES"), ("avx512f", "AVX-512")) if flag in flags]
    versions = [version_of(program) for program in (nbdcrypt,) + PROGRAMS]
    return [
        "machine: %d CPUs, %s%s, %.0f GiB"
        % (
            len(os.sched_getaffinity(0)),
            _field("/proc/cpuinfo", "model name"),
            " (%s)" % ", ".join(units) if units else "",
            memory_kib / (1 << 20),
        ),
        "kernel: %s %s" % (platform.system(), re.match(r"[0-9.]*", platform.release()).group()),
        "versions: %s" % ", ".join(version for version in versions if version),
        "folder: %s" % _file_system_of(folder),
    ]
