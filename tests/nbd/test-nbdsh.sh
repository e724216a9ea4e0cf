#!/bin/bash
# libnbd, from nbdsh: connect by URI, odd reads and writes, FUA, zero, flush, block status, structured errors.
. "$(dirname "$0")/../support/functions.sh"

PATH=/usr/bin:$PATH # nbdsh takes the first python3, which must be the one that has libnbd
requires cryptsetup --version
requires nbdsh --version
image=$(temp_file)
format_luks2 "$image" 8M --sector-size 4096
start_nbdcrypt --key-file "$passphrase" --discard "$image"
# shellcheck disable=SC2016 # the argument is Python
nbdsh --base-allocation --uri "$uri" --command '
import errno

def expect_errno(expected, call):
    try:
        call()
    except nbd.Error as ex:
        assert ex.errnum == expected, ex
    else:
        raise AssertionError("no error")

assert h.get_size() == 8 << 20
assert h.get_structured_replies_negotiated()
assert h.can_multi_conn() and h.can_fua() and h.can_trim()
h.pwrite(b"hello" * 1000, 4093)
assert h.pread(5000, 4093) == b"hello" * 1000
h.pwrite(b"durable", 1 << 20, nbd.CMD_FLAG_FUA)
h.zero(3000, 5000)
assert h.pread(3000, 5000) == bytes(3000)
h.zero(4096, 1 << 21, nbd.CMD_FLAG_NO_HOLE)
assert h.pread(4096, 1 << 21) == bytes(4096)
h.trim(1 << 20, 3 << 20)
h.flush()
found = []
h.block_status(8 << 20, 0, lambda context, offset, entries, error: found.extend(entries))
assert len(found) % 2 == 0 and sum(found[::2]) == 8 << 20, found
assert not any(flags & 2 for flags in found[1::2]), found
h.set_strict_mode(0)
expect_errno(errno.EINVAL, lambda: h.pread(512, 8 << 20))
expect_errno(errno.ENOSPC, lambda: h.pwrite(bytes(512), 8 << 20))
assert h.pread(7, 1 << 20) == b"durable"

# Many in flight, completing in whatever order.
buffers, cookies = [], []
for i in range(100):
    buffer = nbd.Buffer.from_bytearray(bytearray([i]) * 10000)
    cookies.append(h.aio_pwrite(buffer, i * 10000))
while h.aio_in_flight():
    h.poll(-1)
assert all(h.aio_command_completed(cookie) for cookie in cookies)
data = h.pread(1000000, 0)
assert data == b"".join(bytes([i]) * 10000 for i in range(100))
h.shutdown()
' >"$log_dir/nbdsh" 2>&1
stop_nbdcrypt
