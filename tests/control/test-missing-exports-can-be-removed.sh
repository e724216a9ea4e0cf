#!/bin/bash
# An export that could not be opened can be removed, and get another image, by nbdcrypt ctl and by a reload.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
folder=$(temp_dir) control=$(temp_socket) socket=$(temp_socket)
config=$folder/nbdcrypt.conf
image=$(temp_file)
truncate --size=2M "$image"
printf '[export first]\nimage = memory:1M\nraw = yes\n' >"$config"
for name in one two three four; do
    printf '[export %s]\nimage = %s/nothing\nraw = yes\n' $name "$folder"
done >>"$config"
chmod 600 "$config"
start_nbdcrypt --unix "$socket" --config "$config" --control "$control"
ctl() { expect_success ctl --socket "$control" "$@"; }

ctl remove one
ctl replace two memory:2M raw=yes
expect_equal "size" $((2 << 20)) "$(nbdinfo --size "nbd+unix:///two?socket=$socket")"
# The files say the same from here on.
sed -i "/^\[export one\]/,/^raw/d; /^\[export two\]/,/^raw/s,^image = .*,image = memory:2M," "$config"
sed -i "/^\[export three\]/,/^raw/s,^image = .*,image = $image," "$config"
ctl reload --replace three
expect_equal "size" $((2 << 20)) "$(nbdinfo --size "nbd+unix:///three?socket=$socket")"
sed -i "/^\[export four\]/,/^raw/d" "$config"
ctl reload
ctl exports
! grep -qE '^(one|four) ' "$out" || fail "they are still there"
expect_equal "size" $((1 << 20)) "$(nbdinfo --size "nbd+unix:///first?socket=$socket")"
stop_nbdcrypt
