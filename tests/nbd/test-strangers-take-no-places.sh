#!/bin/bash
# Strangers who connect and choose nothing take nobody's place: who is attached stays, and a new client gets in beside
# them. One address has a share of the places, and others still get theirs. When the process has no descriptor left a
# client is turned away, instead of waiting, and served again when there is one.
. "$(dirname "$0")/../support/functions.sh"

image=$(temp_file)
truncate --size=1M "$image"
start_nbdcrypt --raw --max-connections 120 --handshake-timeout 3600 --listen 127.0.0.1:0 "$image"

python "$source_dir/tests/nbd/strangers-take-no-places-of-clients.py" "$port" </dev/null
stop_nbdcrypt
expect_match "$server_log" 'turned away, [0-9]+ clients are in their handshake'
expect_match "$server_log" 'turned away, it has 30 connections \(--max-connections-per-client\)'

# No descriptor is left.
export NBDCRYPT_ALLOW_CORE=1 # lets an ordinary user count its descriptors
start_nbdcrypt --raw --listen 127.0.0.1:0 "$image"
python "$source_dir/tests/nbd/strangers-take-no-places-and-no-descriptors.py" "$uri" "$pid" </dev/null
stop_nbdcrypt
expect_match "$server_log" 'turned away, this process has as many descriptors as it may have'
