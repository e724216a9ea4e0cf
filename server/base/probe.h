/* Static probes (USDT) for bpftrace(8), perf(1) and SystemTap: places that keep their name and
 * their arguments while the code around them changes.  One that nobody looks at is a nop, and its
 * arguments are what is in registers and memory anyway.  docs/nbdcrypt-service.7 lists them.
 *
 * This header is a leaf: crypto/, server/ and plugins/ may all include it. */
#ifndef NBDCRYPT_PROBE_H
#define NBDCRYPT_PROBE_H

/* PROBE(name, argument, ...): numbers and pointers, at least one. */
#ifdef HAVE_SDT
#define SDT_USE_VARIADIC
#include <sys/sdt.h>
#define PROBE(name, ...) STAP_PROBEV(nbdcrypt, name, __VA_ARGS__)
#else
#define PROBE(name, ...) ((void)0)
#endif

#endif
