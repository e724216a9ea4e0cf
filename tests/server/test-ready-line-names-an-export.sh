#!/bin/bash
# The URIs of the ready line, and $uri of --run, name an export that is there, also when there are several of them.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version

image=$(temp_file)
truncate --size=1M "$image"

start_nbdcrypt --export "one two=memory:1M,raw" --export "b=$image,raw" --listen localhost:0
expect_match <(echo "$uri") '/one%20two$'
expect_alive
stop_nbdcrypt

# The default export is the one that a client asks for when it names none.
start_nbdcrypt --export "a=memory:1M,raw" --export "=$image,raw"
expect_equal "URI" "nbd+unix:///?socket=$socket" "$uri"
expect_alive
stop_nbdcrypt

# One that could not be opened is of no use to who reads the line.
start_nbdcrypt --export "gone=$image.gone,raw" --export "b=$image,raw"
expect_equal "URI" "nbd+unix:///b?socket=$socket" "$uri"
expect_alive
stop_nbdcrypt

# shellcheck disable=SC2016 # $uri is for the shell of --run
run_nbdcrypt serve --export a=memory:1M,raw --export "b=$image,raw" --run 'nbdinfo --size "$uri"'
expect_equal "what a command of --run finds" 1048576 "$(cat "$out")"
