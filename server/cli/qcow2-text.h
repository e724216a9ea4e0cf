/* What nbdcrypt info says of a qcow2 image, for people and scripts. */
#ifndef NBDCRYPT_QCOW2_TEXT_H
#define NBDCRYPT_QCOW2_TEXT_H

#include <json-c/json.h>

#include "crypto/luks/luks-types.h"
#include "server/qcow2/qcow2-header.h"

/* One object of json-c; the caller puts it.  `luks`: the header inside of an image that QEMU
 * encrypted by LUKS, else NULL.  Members are never removed or renamed, new ones may be added:
 *
 *   type            "qcow2"; of version 1, too
 *   version         number: 1, 2, 3
 *   size            number, bytes: of the disk
 *   cluster-size    number, bytes
 *   compression     "zlib", "zstd": of clusters that are compressed
 *   encryption      "none", "aes", "luks": by QEMU
 *   luks            object of luks_describe_json(), without what means nothing there
 *                   (payload-offset, size, detached); null without such a header
 *   backing-file    text: the name that the image gives to it; or null
 *   backing-format  text, or null
 *   snapshot-count  number: of internal snapshots
 *   dirty, corrupt  booleans: what QEMU has marked */
NODISCARD int qcow2_text_json(struct json_object **out, const struct qcow2_header *header,
                              const struct luks_header *luks, struct error *err);

/* The same in lines of text. */
void qcow2_text_print(struct json_object *info);

#endif
