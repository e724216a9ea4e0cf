#!/bin/bash
# The examples of nbdcrypt-luks(1) do what the page says, in its order.
. "$(dirname "$0")/../support/functions.sh"

page=${top_srcdir:-$source_dir}/docs/nbdcrypt-luks.1
cd "$test_dir"
mkdir bin
ln -s "$NBDCRYPT" bin/nbdcrypt
PATH=$test_dir/bin:$PATH
printf first >key
printf guest >guest.key
nbdcrypt format --key-file key --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 1M disk.luks >"$log_dir/format"

# The lines between .Bd and .Ed behind EXAMPLES; key derivations as cheap as the tests need them.
awk '/^\.Sh / { examples = /EXAMPLES/ } /^\.Ed/ { inside = 0; print "echo" } inside; /^\.Bd/ { inside = examples }' \
    "$page" |
    sed -E 's/^(nbdcrypt key (add|change)) /\1 --pbkdf pbkdf2 --pbkdf-iterations 1000 /' >examples
expect_equal "commands in the examples" 11 "$(grep -c '^nbdcrypt' examples)"
bash -eux ./examples >"$log_dir/examples" 2>"$log_dir/examples-commands"
expect_match "$log_dir/examples" '^The new key is in keyslot 1 of disk.luks.$'
expect_match "$log_dir/examples" '^Keyslot 1: '
expect_match "$log_dir/examples" '^This key opens keyslot 0 of disk.luks.$'
expect_match "$log_dir/examples" '^The keys of disk.luks are wiped \(1\).$'
expect_match "$log_dir/examples" '^\{"type":"example","keyslots":\["0"\]\}$'
nbdcrypt key test --key-file new.key disk.luks
