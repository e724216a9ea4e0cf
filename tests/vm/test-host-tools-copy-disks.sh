#!/bin/bash
# nbdcopy and qemu-img copy an encrypted disk out and in, as nbdcrypt-vm(7) says.
. "$(dirname "$0")/../support/functions.sh"
recipe_size=16M
. "$(dirname "$0")/../support/vm-recipes.sh"

requires nbdcopy --version
requires qemu-img --version
make_server_of_page
serve_page
disk="nbd+unix:///data3?socket=$root/run/nbdcrypt/nbd.sock"
plain=$(temp_file)
make_pattern "$plain" 16M
nbdcopy "$plain" "$disk"
run_recipe copies
cmp "$plain" "$root/data3.raw"
head -c 16M /dev/zero | nbdcopy - "$disk"
! cmp -s "$plain" <(nbdcopy "$disk" -) || fail "the disk is not another one"
run_recipe restore
expect_match "$out" '^Images are identical'
stop_nbdcrypt
