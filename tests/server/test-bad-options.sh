#!/bin/bash
# Options and commands that make no sense get one sentence and exit status 2.
. "$(dirname "$0")/../support/functions.sh"

sizes='write a number of bytes below 2^64, or one with K, M, G or T behind it (powers of 1024), such as 512M'
addresses='write it as 127.0.0.1:10809 or [::1]:10809'
usage() { expect_failure 2 "$@"; }

usage "no command was given: nbdcrypt --help lists them"
usage "there is no command 'frobnicate': nbdcrypt --help lists them" frobnicate
usage "there is no command 'fromat': did you mean format?" fromat
usage "unknown option '--nosuch'" serve --nosuch x
usage "there is no IMAGE: name the file to serve, or use --export NAME=IMAGE" serve
usage "there are 2 images ('a', 'b'): write --export NAME=IMAGE for each" serve a b
usage "--threads: 0 is too small: the least is 1" serve --threads 0 x
usage "--threads: 'x' is not a whole number" serve --threads x y
usage "--listen foo: there is no port; $addresses" serve --listen foo x
usage "--listen 1.2.3.4:99999: the port is not a number from 0 to 65535; $addresses" serve --listen 1.2.3.4:99999 x
usage "--raw serves without LUKS, so --key-file can't be used: leave out one of the two" \
    serve --raw --key-file "$passphrase" x
usage "--raw serves without LUKS, so --zero-holes can't be used: leave out one of the two" \
    serve --raw --zero-holes x
usage "export 'a': raw serves without LUKS, so zero-holes can't be used: leave out one of the two" \
    serve --export a=x,raw,zero-holes
usage "--raw serves without LUKS, so --no-discard can't be used: leave out one of the two" \
    serve --raw --no-discard x
usage "export 'a': raw serves without LUKS, so no-discard can't be used: leave out one of the two" \
    serve --export a=x,raw,no-discard
usage "--discard and --no-discard can't both be used: leave out one of the two" serve --discard --no-discard x
usage "export 'a': discard and no-discard can't both be used: leave out one of the two" \
    serve --export a=x,discard,no-discard
usage "--export foo: write NAME=IMAGE, such as disk1=/path/to/disk" serve --export foo
usage "export 'a' is there twice: each needs a name of its own" serve --export a=x,raw --export a=y,raw
usage "export 'a': unknown option 'bogus'" serve --export a=x,bogus=1
usage "export 'a': unknown option 'O'; a comma that belongs to a rule is doubled (,,)" \
    serve --export a=x,allow=cert:CN=vm7,O=Example
usage "--allow uid:7&net:10.0.0.0/8: no client can meet all of this: net: is for TCP, uid: and gid: are for Unix sockets" \
    serve --allow 'uid:7&net:10.0.0.0/8' x
usage "export 'a': allow=net:10.0.0.1/8: the address goes on behind its first 8 bits: \
write net:10.0.0.0/8 for that network, or net:10.0.0.1 for one address" serve --export a=x,allow=net:10.0.0.1/8
usage "--allow is used by no export, for each has an allow= of its own: leave it out, or add the rule there" \
    serve --allow any --export a=x,allow=uid:7
usage "'x' and --export can't be used together: write --export NAME=x" serve --export a=y x
usage "standard input can hold only one key, and two exports want it: give each export a key-file of its own" \
    serve --export a=x,key-file=- --export b=y,key-file=-
usage "--connections: 65 is too large: the most is 64" attach --connections 65 x
usage "--block-size 1000 is not 512, 1024, 2048 or 4096" attach --block-size 1000 x
usage "--timeout: 3601 is too large: the most is 3600" attach --timeout 3601 x
usage "--dead-timeout: 0 is too small: the least is 1" attach --dead-timeout 0 x
usage "'nbd:///x?socket=/y': a socket is given with nbd+unix:///?socket=PATH" attach 'nbd:///x?socket=/y'
usage "'vda' is no device of the kernel's NBD client: write it as nbd3 or /dev/nbd3" attach x vda
usage "no WHAT was given: nbdcrypt attach --help tells more" attach
usage "no NAME|DEVICE was given: nbdcrypt detach --help tells more" detach
usage "no IMAGE was given: nbdcrypt format --help tells more" format
usage "--size: '1Z' is not a size: $sizes" format --size 1Z x
usage "--size: '-1' is not a size: $sizes" format --size -1 x
usage "--size: '' is not a size: $sizes" format --size '' x
usage "--sector-size: 123 is too small: the least is 512" format --sector-size 123 --size 1M x
usage "sector size 1000 is not one of 512, 1024, 2048 and 4096" format --sector-size 1000 --size 1M x
usage "LUKS1 has sectors of 512 bytes only" format --type luks1 --sector-size 4096 --size 1M x
usage "LUKS1 has no label" format --type luks1 --label x --size 1M x
usage "LUKS1 has no subsystem" format --type luks1 --subsystem x --size 1M x
usage "--type 'luks3' is neither luks2 nor luks1" format --type luks3 --size 1M x
usage "cipher 'cipher_null-ecb' leaves the data unencrypted; null ciphers are always refused" \
    format --cipher cipher_null-ecb --size 1M x
usage "cipher 'aes-xts-plain64' does not take a key of 320 bits (supported: 256, 384 and 512)" \
    format --key-bits 320 --size 1M x
usage "cipher 'aes-xts-plain64' with a key of 384 bits can be served, but not made: take 256 or 512 bits" \
    format --key-bits 384 --size 1M x
usage "cipher 'rot13' is not supported (supported: aes, serpent, twofish and camellia, in the modes xts and cbc, with the IVs plain64, plain, plain64be and essiv:sha256)" \
    format --cipher rot13 --size 1M x
usage "no IMAGE was given: nbdcrypt info --help tells more" info
usage "'b' is one operand too many: nbdcrypt info takes IMAGE" info a b
[ ! -e x ] || fail "an image was made in spite of it"

expect_success --help
expect_match "$out" 'Usage: nbdcrypt COMMAND'
expect_success --version
expect_match "$out" '^nbdcrypt [0-9]+\.[0-9]+'
for command in serve format info; do
    expect_success "$command" --help
    expect_match "$out" "^Usage: nbdcrypt $command"
done
