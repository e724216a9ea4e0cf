#!/bin/bash
# detach of what is not attached says how to see what is, and that a line of nbdtab stays.
. "$(dirname "$0")/../support/functions.sh"

name=no-such-disk-$$
expect_failure 1 "nothing is attached under the name '$name': nbdcrypt attached lists what is" detach "$name"
expect_failure 1 "nothing is attached under the name 'nbd://h/$name': nbdcrypt attached lists what is" detach "nbd://h/$name"
expect_failure 1 "'$name' is not attached, and its line in /etc/nbdcrypt/nbdtab stays if there is one: --if-attached takes that away \
all the same" detach --persist "$name"
run_nbdcrypt detach --if-attached "$name"
expect_equal "status" 0 "$status"
run_nbdcrypt attached
expect_match "$out" '^DEVICE  NAME '
