#!/bin/bash
# A command line that makes no sense ends with exit status 2 and a sentence that says why.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"

uri='nbd+unix:///?socket=/nowhere'

# refuses REGEX ARGUMENT...
refuses() {
    expect_bench_failure 2 "$@"
    [ ! -s "$out" ] || fail "it printed something: $(cat "$out")"
}

refuses 'the URI of the export is missing: nbdcrypt-bench --help'
refuses "'b' is too much: there is one URI" nbd://a b
refuses "'here': an NBD URI is nbd://HOST.*" here
refuses "'nbds://a': give either tls-certificates=DIR or tls-psk-file=FILE.*" nbds://a
refuses "'nbd://a/\?tls-psk-file=b': files for TLS are named, but there is none.*" 'nbd://a/?tls-psk-file=b'
refuses ".*: a server on a Unix socket has no host name.*" 'nbds+unix:///?socket=/nowhere&tls-certificates=a'
refuses ".*: unknown option 'tls-verify-peer'.*" 'nbds://a/?tls-verify-peer=false'
refuses "'nbd\+unix:///x': the socket is missing.*" nbd+unix:///x
refuses "unknown option '--detph': did you mean --depth\?" --detph 3 "$uri"
refuses '--depth: 0 is too small: the least is 1' --depth 0 "$uri"
refuses '--block: .* is not a size.*' --block 4Q "$uri"
refuses '--block: a request has 1 byte to 32M' --block 33M "$uri"
refuses '--block: in MIN-MAX, MAX is a multiple of MIN' --block 4K-6K "$uri"
refuses '--block: in MIN-MAX, MAX is a multiple of MIN' --block 8K-4K "$uri"
refuses "--pattern: 'odd' is neither sequential nor random nor zipf" --pattern odd "$uri"
refuses "--pattern: '-1' is no THETA.*" --pattern zipf:-1 "$uri"
refuses '--write, --trim and --zero are more than 100 percent together' --write 60 --zero 41 "$uri"
refuses '--threads 4: each has at least one connection, and there are 2 .*' --threads 4 --connections 2 "$uri"
refuses "--time: 'soon' is no number of seconds from 0 to 10000000" --time soon "$uri"
refuses "--warm-up: '-1' is no number of seconds.*" --warm-up=-1 "$uri"
refuses '--time: in 0 seconds there is nothing to measure' --time 0 "$uri"
refuses '--passes goes with --pattern sequential' --passes 1 "$uri"
refuses '--passes measures from the first request on.*' --passes 1 --pattern sequential --warm-up 1 "$uri"
refuses '--verify without --write has nothing to verify.*' --verify "$uri"
refuses '--verify reads back what it has written by itself.*' --verify --write 1 --read-back "$uri"
refuses '--state goes with --verify or --read-back' --state /tmp/x "$uri"
refuses '--read-back only reads' --read-back --write 1 "$uri"
refuses '--read-back goes over the area once.*' --read-back --time 3 "$uri"
refuses 'with --read-back --state the area and the seed.*' --read-back --state /tmp/x --offset 4K "$uri"
refuses 'what is verified consists of cells of 512 bytes.*' --verify --write 1 --block 1000 "$uri"

expect_bench --help
expect_match "$out" '^Usage: nbdcrypt-bench \[OPTIONS\] URI$'
expect_bench --version
expect_match "$out" '^nbdcrypt-bench [0-9]+\.'
