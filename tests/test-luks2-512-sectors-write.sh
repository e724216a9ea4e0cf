#!/bin/bash
# What is written to a LUKS2 volume with 512-byte sectors is what another implementation decrypts.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/luks-volumes.sh"

luks2_writes 512
