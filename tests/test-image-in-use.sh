#!/bin/bash
# A second server or `format` does not write an image that is being served; readers may share it.

. "$(dirname "$0")/functions.sh"

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
stop_nbdcrypt

start_nbdcrypt --key-file "$key" --read-only "$image"
start_nbdcrypt --key-file "$key" --read-only "$image" # two readers
