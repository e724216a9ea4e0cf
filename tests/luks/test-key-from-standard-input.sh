#!/bin/bash
# --key-file - reads the passphrase from standard input, to its end, newlines included.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
image=$(temp_file)
truncate --size=17M "$image"
with_newline=$(temp_file)
printf 'two\nlines\n' >"$with_newline"
cryptsetup --batch-mode --disable-locks luksFormat "${fast_pbkdf[@]}" "$image" "$with_newline" >>"$log_dir/cryptsetup" 2>&1
"$NBDCRYPT" serve --key-file - --run true "$image" <"$with_newline"
"$NBDCRYPT" serve --key-file "$with_newline" --run true "$image" </dev/null
ended=0
printf 'two\nlines' | "$NBDCRYPT" serve --key-file - --run true "$image" 2>"$test_dir/err" || ended=$?
expect_equal "exit status" 1 "$ended"
expect_message "$test_dir/err" "nbdcrypt: image '$image': no keyslot opens with this key"
