#include "server/qcow2/qcow2-inflate.h"

#ifdef HAVE_ZLIB
#include <zlib.h>
#endif
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

/* Deflate without a header, of a window of 4 KiB. */
#ifdef HAVE_ZLIB
static bool inflate_zlib(uint8_t *out, size_t out_bytes, const uint8_t *data, size_t length_bytes)
{
    z_stream stream = { .next_in = (Bytef *)(uintptr_t)data, /* it is only read */
                        .avail_in = (uInt)length_bytes,
                        .next_out = out,
                        .avail_out = (uInt)out_bytes };

    if (inflateInit2(&stream, -12) != Z_OK)
        return false;
    int result = inflate(&stream, Z_FINISH);
    (void)inflateEnd(&stream);
    /* Z_BUF_ERROR: the cluster is full, and there would be more, such as the end's mark. */
    return (result == Z_STREAM_END || result == Z_BUF_ERROR) && stream.avail_out == 0;
}
#else
static bool inflate_zlib(uint8_t *out, size_t out_bytes, const uint8_t *data, size_t length_bytes)
{
    (void)out, (void)out_bytes, (void)data, (void)length_bytes;
    return false;
}
#endif

/* Frames, of which the last may be followed by what fills the sector. */
#ifdef HAVE_ZSTD
static bool inflate_zstd(uint8_t *out, size_t out_bytes, const uint8_t *data, size_t length_bytes)
{
    ZSTD_outBuffer to = { .dst = out, .size = out_bytes };
    ZSTD_inBuffer from = { .src = data, .size = length_bytes };
    ZSTD_DCtx *context = ZSTD_createDCtx();
    bool good = context != NULL;

    /* A larger window than a cluster is of no use to it. */
    if (good)
        good = !ZSTD_isError(ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, 22));
    while (good && to.pos < to.size) {
        size_t before_in = from.pos, before_out = to.pos;

        good = !ZSTD_isError(ZSTD_decompressStream(context, &to, &from)) &&
               (from.pos != before_in || to.pos != before_out);
    }
    (void)ZSTD_freeDCtx(context);
    return good;
}
#else
static bool inflate_zstd(uint8_t *out, size_t out_bytes, const uint8_t *data, size_t length_bytes)
{
    (void)out, (void)out_bytes, (void)data, (void)length_bytes;
    return false;
}
#endif

const char *qcow2_inflate_lacks(bool zstd)
{
#ifndef HAVE_ZLIB
    if (!zstd)
        return "a cluster is compressed, and this program was built without zlib";
#endif
#ifndef HAVE_ZSTD
    if (zstd)
        return "a cluster is compressed by zstd, and this program was built without libzstd";
#endif
    (void)zstd;
    return NULL;
}

bool qcow2_inflate(uint8_t *out, size_t out_bytes, const uint8_t *data, size_t length_bytes,
                   bool zstd)
{
    return zstd ? inflate_zstd(out, out_bytes, data, length_bytes)
                : inflate_zlib(out, out_bytes, data, length_bytes);
}
