import sys
import nbd

h = nbd.NBD()
h.set_tls(nbd.TLS_REQUIRE)
h.set_tls_certificates(sys.argv[2])
h.connect_tcp("localhost", sys.argv[1])
assert h.get_tls_negotiated()
h.pwrite(b"by python" * 1000, 4097)
h.flush()
assert h.pread(9000, 4097) == b"by python" * 1000
h.shutdown()
