#!/bin/bash
# A plugin of nbdkit is asked for its holes once for each question of a client, and not for reads and writes; what it has said before
# is not believed, for its data may have come from anywhere.
. "$(dirname "$0")/../support/functions.sh"

requires nbdkit --dump-plugin sh
folder=$(temp_dir)
cat >"$folder/plugin" <<END
#!/bin/sh
case \$1 in
get_size) echo 1M ;;
can_write | can_extents) ;;
pread) head --bytes="\$3" /dev/zero ;;
pwrite) cat >/dev/null ;;
extents)
    echo asked >>$folder/asked
    [ -e $folder/data ] && echo 0 1M || echo 0 1M hole,zero
    ;;
*) exit 2 ;;
esac
END
chmod +x "$folder/plugin"
start_nbdcrypt --raw "nbdkit:sh?$folder/plugin"
python "$source_dir/tests/nbdkit/plugin-is-asked-for-holes-each-time.py" "$uri" "$folder"
stop_nbdcrypt
