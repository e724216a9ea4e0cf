#!/bin/bash
# A LUKS2 volume with 2048-byte sectors that cryptsetup encrypted reads as what was put in.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/luks-volumes.sh"

volume_reads encrypt_to_luks2 --sector-size 2048
