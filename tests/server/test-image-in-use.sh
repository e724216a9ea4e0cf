#!/bin/bash
# A second server or `format` does not write an image that is being served; readers may share it.

. "$(dirname "$0")/../support/functions.sh"

image=$(temp_file)
key=$(temp_file)
printf secret >"$key"
truncate --size=32M "$image"
run_nbdcrypt format --key-file "$key" --pbkdf pbkdf2 --pbkdf-iterations 1000 "$image"
expect_equal "status of format" 0 "$status"

start_nbdcrypt --key-file "$key" "$image"
before=$(sha256_of "$image")
in_use="another program has it open for use (is it being served already?); end that first"
expect_failure 1 "image '$image': $in_use" serve --unix "$(temp_socket)" --key-file "$key" "$image"
expect_failure 1 "image '$image': another program has it open for writing; end that first" \
    serve --unix "$(temp_socket)" --key-file "$key" --read-only "$image"
expect_failure 1 "image '$image': $in_use" format --force --key-file "$key" "$image"
expect_equal "the image" "$before" "$(sha256_of "$image")"
expect_success info "$image" # looking is free

# --force-in-use goes on and says so; --force never means that.
going_on="nbdcrypt: '$image': $in_use; going on (--force-in-use)"
first=$pid
for options in "--force-in-use $image" "--export a=$image,force-in-use"; do
    read -r -a words <<<"$options"
    start_nbdcrypt --key-file "$key" "${words[@]}"
    expect_equal "what the second server says" "$going_on" "$(cat "$server_log")"
    stop_nbdcrypt
done
run_nbdcrypt format --force --force-in-use --key-file "$key" --pbkdf pbkdf2 --pbkdf-iterations 1000 "$image"
expect_equal "status of format --force-in-use" 0 "$status"
expect_equal "what it says" "$going_on" "$(cat "$err")"
run_nbdcrypt format --force-in-use --key-file "$key" "$image"
expect_equal "status of format --force-in-use without --force" 1 "$status"
expect_message "$err" "nbdcrypt: '$image' is not empty: it holds a LUKS volume; give --force to overwrite it, which \
destroys what is there"
# With a header of its own it would not be written, but be another disk from then on.
expect_failure 1 "image '$image': another program has it open for writing; end that first" \
    format --force --key-file "$key" --header "$test_dir/header" "$image"
[ ! -e "$test_dir/header" ] || fail "a header was made for an image in use"
pid=$first
stop_nbdcrypt

# From the look at it to the end nobody else gets it, however long the passphrase takes.
mkfifo "$test_dir/typed"
"$NBDCRYPT" format --force --key-file "$test_dir/typed" --pbkdf pbkdf2 --pbkdf-iterations 1000 "$image" >"$log_dir/format" 2>&1 &
format=$!
remember_pid "$format"
exec {typed}>"$test_dir/typed" # it has come to the passphrase
expect_failure 1 "image '$image': $in_use" serve --raw --unix "$(temp_socket)" "$image"
printf secret >&"$typed"
exec {typed}>&-
wait "$format"

start_nbdcrypt --key-file "$key" --read-only "$image"
start_nbdcrypt --key-file "$key" --read-only "$image" # two readers
