"""The jobs: what a client asks a server for.  Adding one is a row of JOBS."""
from collections import namedtuple

KIB = 1024

# name             of the job, as in --jobs and in the CSV
# title            for tables and charts
# block_bytes      of a request
# write_percent    of the requests write, the others read
# pattern          sequential or random
# connections, depth   requests in flight: depth on each connection
# copies           None, or what nbdcopy does: "read" the disk, or "write" it; "handshakes": TLS and nothing else;
#                  "storm": the requests, while others do such handshakes
Job = namedtuple("Job", "name title block_bytes write_percent pattern connections depth copies")

# fmt: off
JOBS = {job.name: job for job in (
    #    name              title                            block      write pattern    conn depth
    Job("read",           "read 256K, depth 16",            256 * KIB,   0, "sequential", 1, 16, None),
    Job("write",          "write 256K, depth 16",           256 * KIB, 100, "sequential", 1, 16, None),
    Job("randread-1",     "random read 4K, depth 1",          4 * KIB,   0, "random",     1,  1, None),
    Job("randread-32",    "random read 4K, depth 32",         4 * KIB,   0, "random",     1, 32, None),
    Job("randread-4x16",  "random read 4K, 4 x depth 16",     4 * KIB,   0, "random",     4, 16, None),
    Job("randwrite-1",    "random write 4K, depth 1",         4 * KIB, 100, "random",     1,  1, None),
    Job("randwrite-32",   "random write 4K, depth 32",        4 * KIB, 100, "random",     1, 32, None),
    Job("randwrite-4x16", "random write 4K, 4 x depth 16",    4 * KIB, 100, "random",     4, 16, None),
    Job("mixed",          "70/30 mix of 16K, depth 16",      16 * KIB,  30, "random",     1, 16, None),
    Job("copy-read",      "nbdcopy, read, 4 connections",   256 * KIB,   0, "sequential", 4, 64, "read"),
    Job("copy-write",     "nbdcopy, write, 4 connections",  256 * KIB, 100, "sequential", 4, 64, "write"),
    Job("handshakes",     "TLS handshakes, 16 at a time",           0,   0, "",          16,  1, "handshakes"),
    Job("storm",          "random read 4K, depth 1, in a storm of handshakes",
                                                              4 * KIB,   0, "random",     1,  1, "storm"),
)}
# fmt: on

QUICK_JOBS = ("read", "write", "randread-32", "randread-4x16")
