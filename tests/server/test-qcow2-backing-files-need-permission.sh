#!/bin/bash
# A qcow2 image with a backing file is read as by QEMU where the backing file may be used: by backing=allow in the same
# folder, or by backing=IMAGE anywhere.  Whatever else an image names is not opened, and chains have an end.
. "$(dirname "$0")/../support/functions.sh"

requires qemu-img --version
requires qemu-io --version
images=$test_dir/images
mkdir "$images" "$test_dir/elsewhere"
cd "$images"
never=$(temp_socket)
make_pattern base 3M
truncate --size=3146240 base # no whole number of clusters

# overlay NAME SIZE BACKING FORMAT [OFFSET...]: a cluster at each offset is its own.
overlay() {
    local at

    qemu-img create -q -f qcow2 -F "$4" -b "$3" "$1" "$2"
    for at in "${@:5}"; do
        qemu-io -f qcow2 -c "write -q -P $((at % 200 + 1)) $at 70000" -c "write -q -z $((at + 262144)) 65536" "$1"
    done
}

overlay longer 6M base raw 1000000 3140000
overlay shorter 1M base raw 100000
overlay one 6M base raw 100000
overlay two 8M one qcow2 1000000 5000000
overlay three 4M two qcow2 2000000
qemu_img convert -c -O qcow2 base compressed
overlay on-compressed 4M compressed qcow2 100000
qemu-img create -q -f qcow2 -F raw -b base -o extended_l2=on subclusters 4M
qemu-io -f qcow2 -c "write -q -P 5 100001 3000" -c "write -q -z 200000 4096" subclusters
qemu-img create -q -f qcow -F raw -b base v1 4M

exports=()
for name in longer shorter one two three on-compressed subclusters; do
    exports+=(--export "$name=$images/$name?format=qcow2&backing=allow")
    qemu_img convert -O raw "$name" "$test_dir/$name.raw"
done
overlay apart 4M "$images/one" qcow2 300000
qemu_img convert -O raw apart "$test_dir/apart.raw"
mv one "$test_dir/elsewhere/one"
ln -s "$test_dir/elsewhere/one" one
exports+=(--export "apart=apart?format=qcow2&backing=$test_dir/elsewhere/one%3Fformat=qcow2%26backing=$images/base")
qemu_img convert -O raw v1 "$test_dir/v1.raw"
exports+=(--export "v1=v1?backing=base&format=qcow2")

start_nbdcrypt --raw "${exports[@]}"
for raw in "$test_dir"/*.raw; do
    name=$(basename "$raw" .raw)
    nbdcopy "nbd+unix:///$name?${uri#*\?}" "$test_dir/copy"
    cmp "$raw" "$test_dir/copy" || fail "$name is not what QEMU reads"
done
# What is behind the end of the backing file is a hole.
expect_equal "the end of a disk that is longer than its backing file" hole,zero \
    "$(nbdinfo --map "nbd+unix:///longer?${uri#*\?}" | tail -n 1 | awk '{ print $4 }')"
stop_nbdcrypt

# ---- refused ----

refused() {
    expect_failure 1 "image '$images/$1': $2" serve --unix "$never" --raw "$images/$1"
}
overlay absolute 1M "$images/base" raw
refused "absolute?format=qcow2&backing=allow" "its backing file '$images/base' is not named as one in its own folder, and \
only such a one is opened by backing=allow; name it by backing=IMAGE"
(cd "$test_dir/elsewhere" && make_pattern other 1M)
overlay upwards 1M ../elsewhere/other raw
refused "upwards?format=qcow2&backing=allow" "its backing file '../elsewhere/other' is not named as one in its own folder, \
and only such a one is opened by backing=allow; name it by backing=IMAGE"
refused "v1?format=qcow2&backing=allow" "its header does not say that its backing file 'base' is raw or qcow2 (nothing), and \
what is in that can't tell; name it by backing=IMAGE"
refused "compressed?format=qcow2&backing=base" "it has no backing file: leave out backing="
refused "base?backing=allow" "backing= is for format=qcow2"
rm one
cp two one
qemu-img rebase -q -u -f qcow2 -F qcow2 -b two one
run_nbdcrypt serve --unix "$never" --raw "$images/two?format=qcow2&backing=allow"
expect_equal "exit status of a circle" 1 "$status"
expect_match "$err" "it has more than 16 backing files behind each other"
expect_equal "what a circle says" 1 "$(wc -l <"$err")"
qemu-img create -q --object "secret,id=key,file=$passphrase" -f qcow2 -o encrypt.format=aes,encrypt.key-secret=key secret 1M
qemu-img create -q -f qcow2 -u -F qcow2 -b secret on-secret 1M
run_nbdcrypt serve --unix "$never" --raw "$images/on-secret?format=qcow2&backing=allow"
expect_match "$err" "its backing file is encrypted by QEMU"
