#!/bin/bash
# A LUKS1 volume with cryptsetup's header reads as what was put in.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/luks-volumes.sh"

volume_reads encrypt_to_luks1
