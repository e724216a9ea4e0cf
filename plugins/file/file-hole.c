#include "plugins/file/file-hole.h"

uint32_t file_hole_look_begins(struct file_hole *hole)
{
    uint32_t look = atomic_fetch_add(&hole->looks, 1) + 1;

    if (look == 0) /* after 2^32 of them */
        look = atomic_fetch_add(&hole->looks, 1) + 1;
    if (hole->used)
        atomic_store(&hole->current, look);
    return look;
}

void file_hole_note(struct file_hole *hole, uint32_t look, uint64_t offset_bytes,
                    uint64_t length_bytes, uint64_t now_ns)
{
    if (!hole->used || atomic_load(&hole->current) != look ||
        atomic_flag_test_and_set(&hole->noting))
        return;
    atomic_store(&hole->noted, 0);
    atomic_store(&hole->start_bytes, offset_bytes);
    atomic_store(&hole->end_bytes, offset_bytes + length_bytes);
    atomic_store(&hole->until_ns, now_ns + HOLE_BELIEVED_NS);
    atomic_store(&hole->noted, look);
    atomic_flag_clear(&hole->noting);
}

bool file_hole_covers(struct file_hole *hole, uint64_t offset_bytes, uint64_t length_bytes,
                      uint64_t now_ns)
{
    uint32_t look = atomic_load(&hole->noted);

    return look != 0 && offset_bytes >= atomic_load(&hole->start_bytes) &&
           offset_bytes + length_bytes <= atomic_load(&hole->end_bytes) &&
           now_ns < atomic_load(&hole->until_ns) &&
           atomic_load(&hole->noted) == look && /* all of that was of one look */
           atomic_load(&hole->current) == look;
}
