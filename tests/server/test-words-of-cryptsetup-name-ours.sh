#!/bin/bash
# Who types a command of cryptsetup is told which of our commands does the same.
. "$(dirname "$0")/../support/functions.sh"

while read -r word command; do
    expect_failure 2 "there is no command '$word': nbdcrypt $command does that here" "$word" disk.luks
    # What we name is there.
    # shellcheck disable=SC2086 # two words
    expect_success $command --help
done <<'EOF'
luksFormat format
luksDump info
luksUUID info
isLuks info
luksOpen serve
luksopen serve
open serve
luksAddKey key add
luksChangeKey key change
luksConvertKey key change
luksRemoveKey key remove
luksKillSlot key remove
config key priority
luksHeaderBackup header backup
luksHeaderRestore header restore
luksErase erase
EOF
expect_failure 2 "there is no command 'luksSuspend': nbdcrypt --help lists them" luksSuspend
expect_failure 2 "there is no command 'luks': nbdcrypt --help lists them" luks
