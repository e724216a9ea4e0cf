#!/bin/bash
# A connection of libnbd that says good-bye behind its requests gets all their answers; one that is closed upon them leaves the
# others, and what they have written, as they are.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/libnbd.sh"
. "$(dirname "$0")/../support/tls.sh"
requires cryptsetup --version

check() {
    expect_right close "$uri"
    expect_alive
}
on_each_pipeline 4M check

make_psk
image=$(temp_file)
truncate -s 4M "$image"
start_tls_nbdcrypt --tls-psk "$psk" --raw "$image"
expect_right close "$(psk_uri alice)"
stop_nbdcrypt
