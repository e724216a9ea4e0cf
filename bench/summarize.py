#!/usr/bin/env python3
"""Prints the measurements of compare.sh: median and spread, and the ratio to nbdkit's luks filter.

usage: summarize.py [--check] [--idle-kib KIB] FILE.csv

With --check it ends with PASS or FAIL: an encrypted read or write of 256 KiB may cost the server a third
of the CPU time that nbdkit's luks filter takes, a random read of 4 KiB half of it, and
1,000 idle connections 100 MiB.
"""
import argparse
import csv
import statistics
import sys

JOBS = {
    "read": "read 256K, depth 16",
    "write": "write 256K, depth 16",
    "randread": "random read 4K, depth 32",
    "copy": "nbdcopy, 4 connections",
}
PEER = "nbdkit-luks"
BARS = {"read": 1 / 3, "write": 1 / 3, "randread": 1 / 2}
IDLE_KIB_MAX = 100 * 1024


def load(name):
    """{(job, server): [(CPU ns per KiB, MB/s, thousand operations per second), ...]}, in the file's order."""
    found = {}
    with open(name, newline="", encoding="ascii") as file:
        for row in csv.DictReader(file):
            cpu_ns, size_bytes, elapsed_ns, operations = (
                int(row[key]) for key in ("server_cpu_ns", "bytes", "elapsed_ns", "operations"))
            found.setdefault((row["job"], row["server"]), []).append(
                (cpu_ns / (size_bytes / 1024), size_bytes * 1000 / elapsed_ns, operations * 1e6 / elapsed_ns))
    return found


def median(rows, column):
    return statistics.median(row[column] for row in rows)


def print_job(job, found):
    servers = [server for (of_job, server) in found if of_job == job]
    if not servers:
        return
    peer = median(found[job, PEER], 0) if PEER in servers else None
    print("\n%-26s %22s %10s %8s %14s" % (
        JOBS[job], "CPU ns/KiB (min-max)", "MB/s", "kIOPS", "of nbdkit-luks"))
    for server in servers:
        rows = found[job, server]
        costs = [row[0] for row in rows]
        spread = "(%.0f-%.0f)" % (min(costs), max(costs))
        print("  %-24s %8.0f %13s %10.0f %8.1f %14s" % (
            server, median(rows, 0), spread, median(rows, 1), median(rows, 2),
            "%.3f" % (median(rows, 0) / peer) if peer else "-"))


def verdict(good, text):
    print("%s  %s" % ("PASS" if good else "FAIL", text))
    return good


def check(found, idle_kib):
    results = []
    print()
    for (job, server), rows in found.items():
        if not server.startswith("nbdcrypt-luks") or job not in BARS or (job, PEER) not in found:
            continue
        ratio = median(rows, 0) / median(found[job, PEER], 0)
        results.append(verdict(ratio <= BARS[job], "%s, %s: %.3f of nbdkit-luks, at most %.3f" % (
            server, JOBS[job], ratio, BARS[job])))
    if idle_kib is not None:
        results.append(verdict(idle_kib <= IDLE_KIB_MAX, "1,000 idle connections: %.1f MiB, at most %d MiB" % (
            idle_kib / 1024, IDLE_KIB_MAX // 1024)))
    if not results:
        return verdict(False, "nothing was measured that has a bar")
    return all(results)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--idle-kib", type=int)
    parser.add_argument("file")
    arguments = parser.parse_args()
    found = load(arguments.file)
    for job in JOBS:
        print_job(job, found)
    if arguments.idle_kib is not None:
        print("\n1,000 idle connections: %.1f MiB resident" % (arguments.idle_kib / 1024))
    if arguments.check and not check(found, arguments.idle_kib):
        sys.exit(1)


main()
