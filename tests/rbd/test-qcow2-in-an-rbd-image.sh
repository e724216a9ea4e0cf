#!/bin/bash
# A qcow2 image that is stored in an RBD image is read as from a file: by its name or found by convert, of each kind of cluster,
# with its snapshots and Ceph's, a backing file in the cluster, and QEMU's encryption.  While another client has it open for
# writing it is refused.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/ceph.sh"

requires qemu-img --version
requires qemu-io --version
requires nbdcopy --version
ceph_start memstore none
plain=$test_dir/plain copy=$test_dir/copy never=$(temp_socket)
make_pattern "$plain" 3M
truncate --size=6M "$plain"
dd if=/dev/zero of="$plain" seek=3 bs=512 count=1 conv=notrunc status=none # by which AES is seen to be decrypted
cd "$test_dir"

# store NAME: the file as an RBD image of the same name.
store() {
    ceph rbd import --no-progress "$1" "$1" 2>>"$log_dir/rbd"
}

# qcow2 NAME [PARAMETER...]: the IMAGE of nbdcrypt.
qcow2() {
    ceph_image "$1" format=qcow2 "${@:2}"
}

# behind IMAGE: as the value of backing=.
behind() {
    local text=${1//%/%25}

    text=${text//&/%26}
    echo "${text//\?/%3F}"
}

# What QEMU makes, and what it reads of that.
qemu_img convert -f raw -O qcow2 "$plain" clusters
qemu-img snapshot -q -c before clusters
cp "$plain" before.raw
qemu-io -f qcow2 -c "write -q -P 7 1M 100000" -c "write -q -z 2M 1M" -c "write -q -P 8 5000000 70000" clusters
qemu_img convert -f raw -O qcow2 -c "$plain" compressed
qemu-img create -q -f qcow2 -F qcow2 -b clusters overlay 7M
qemu-io -f qcow2 -c "write -q -P 9 200000 70000" -c "write -q -z 1M 65536" overlay
for name in clusters compressed overlay; do
    qemu_img convert -O raw $name $name.raw
    store $name
done
ceph rbd snap create --no-progress clusters@stored 2>>"$log_dir/rbd"
exports=(--export "clusters=$(qcow2 clusters)" --export "before=$(qcow2 clusters snapshot=before)"
    --export "compressed=$(qcow2 compressed)" --export "stored=$(qcow2 clusters@stored)"
    --export "overlay=$(qcow2 overlay "backing=$(behind "$(qcow2 clusters)")")" --export "file=$(ceph_image clusters)")
cp clusters.raw stored.raw
cp clusters file.raw # without a format its bytes are the disk, whatever they look like
start_nbdcrypt --raw --read-only "${exports[@]}"
for name in clusters before compressed stored overlay file; do
    nbdcopy "nbd+unix:///$name?${uri#*\?}" "$copy"
    cmp "$name.raw" "$copy" || fail "$name is not what QEMU reads"
done
nbdinfo --map "nbd+unix:///clusters?${uri#*\?}" >"$log_dir/map"
expect_match "$log_dir/map" '^ *2097152 +2883584 +3 '
stop_nbdcrypt
expect_failure 1 "image '$(qcow2 overlay backing=allow)': backing=allow is for images that are files, opened by their names; \
name the backing file by backing=IMAGE" serve --unix "$never" --raw "$(qcow2 overlay backing=allow)"

# Found by what it holds, if it is not said to be raw.
expect_success convert --to-format raw "$(ceph_image compressed)" found.raw
cmp compressed.raw found.raw || fail "what was found is not what QEMU reads"
expect_success compare compressed "$(ceph_image compressed)"
expect_success convert --from-format raw --to-format raw "$(ceph_image compressed)" bytes.raw
cmp compressed bytes.raw || fail "what is said to be raw was taken for another format"

# QEMU's encryption.
secret="secret,id=key,file=$passphrase"
for method in aes luks; do
    options=encrypt.format=$method,encrypt.key-secret=key
    for _ in {1..50}; do # it measures the speed of its key derivation, and gives up now and then
        qemu-img create -q --object "$secret" -f qcow2 -o "$options$([ $method = aes ] || echo ,encrypt.iter-time=10)" $method 6M \
            >>"$log_dir/qemu-img" 2>&1 && break
    done
    qemu-img convert -q -n --object "$secret" -f raw "$plain" \
        --target-image-opts "driver=qcow2,file.driver=file,file.filename=$method,$options" >>"$log_dir/qemu-img" 2>&1
    store $method
done
start_nbdcrypt --key-file "$passphrase" --export "aes=$(ceph_image aes)" --export "luks=$(qcow2 luks)"
for name in aes luks; do
    nbdcopy "nbd+unix:///$name?${uri#*\?}" "$copy"
    cmp "$plain" "$copy" || fail "$name is not what QEMU encrypted"
done
stop_nbdcrypt

# What somebody writes would not fit what was read of its tables.
start_nbdcrypt --raw --export "clusters=$(ceph_image clusters)"
writer=$(ceph rbd status clusters | sed -n 's/.*watcher=\([^ ]*\) .*/\1/p')
sentence="another client ($writer) has it open for writing: is it being served already, or used by a virtual machine?  End that \
first"
image=$(qcow2 clusters lock-wait=0)
expect_failure 1 "image '$image': $sentence" serve --unix "$never" --raw "$image"
expect_failure 1 "image '$image': $sentence" convert --to-format raw "$image" refused.raw
[ ! -e refused.raw ] || fail "a target was made for nothing"
image=$(qcow2 overlay lock-wait=0 "backing=$(behind "$(qcow2 clusters lock-wait=0)")")
run_nbdcrypt serve --unix "$never" --raw "$image"
expect_equal "exit status with a backing file that is written" 1 "$status"
expect_match "$err" "another client .* has it open for writing"
# A snapshot stays what it was, and who has said that he knows is not kept waiting.
expect_success convert --to-format raw "$(qcow2 clusters@stored)" stored-again.raw
cmp stored.raw stored-again.raw || fail "a snapshot is another one"
expect_success convert --to-format raw "$(qcow2 clusters lock=shared)" shared.raw
run_nbdcrypt convert --to-format raw --force-in-use "$(qcow2 clusters)" forced.raw
expect_match "$err" "image 'rbd:rbd/clusters': another client .* has it open for writing, .*; going on \(--force-in-use\)"
cmp clusters.raw forced.raw || fail "what nobody has changed is another one"
stop_nbdcrypt
