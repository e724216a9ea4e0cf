#include "plugins/remote/remote-slots.h"

void remote_slots_forget_finished(struct remote_slots *slots)
{
    slots->finished = NULL;
    slots->finished_end = &slots->finished;
    slots->held = NULL;
    slots->held_end = &slots->held;
}

void remote_slots_hold(struct remote_slots *slots, struct remote_slot *slot)
{
    slot->next = NULL;
    *slots->held_end = slot;
    slots->held_end = &slot->next;
}

void remote_slots_init(struct remote_slots *slots)
{
    slots->free = NULL;
    slots->in_flight = 0;
    slots->commands = 0;
    remote_slots_forget_finished(slots);
    for (unsigned i = 0; i < REMOTE_SLOTS; i++) {
        slots->all[i] = (struct remote_slot){ .next = slots->free };
        slots->free = &slots->all[i];
    }
}

bool remote_slots_any_free(const struct remote_slots *slots)
{
    return slots->free != NULL;
}

struct remote_slot *remote_slots_take(struct remote_slots *slots, struct request *req,
                                      uint64_t sent_ms)
{
    struct remote_slot *slot = slots->free;

    slots->free = slot->next;
    slot->req = req;
    slot->cookie = slots->commands++ * REMOTE_SLOTS + (uint64_t)(slot - slots->all);
    slot->sent_ms = sent_ms;
    slot->sync.state = REMOTE_SYNC_NONE;
    slot->sync.in_doubt = false;
    slots->in_flight++;
    return slot;
}

void remote_slots_release(struct remote_slots *slots, struct remote_slot *slot)
{
    slot->req = NULL;
    slot->next = slots->free;
    slots->free = slot;
    slots->in_flight--;
}

void remote_slots_finish(struct remote_slots *slots, struct remote_slot *slot)
{
    slot->next = NULL;
    *slots->finished_end = slot;
    slots->finished_end = &slot->next;
}

void remote_slots_finish_held(struct remote_slots *slots)
{
    struct remote_slot *slot = slots->held;

    slots->held = slot->next;
    if (slots->held == NULL)
        slots->held_end = &slots->held;
    remote_slots_finish(slots, slot);
}

struct remote_slot *remote_slots_next_finished(struct remote_slots *slots)
{
    struct remote_slot *slot = slots->finished;

    if (slot == NULL)
        return NULL;
    slots->finished = slot->next;
    if (slots->finished == NULL)
        slots->finished_end = &slots->finished;
    return slot;
}

bool remote_slots_any_overdue(const struct remote_slots *slots, unsigned timeout_ms,
                              uint64_t now_ms)
{
    for (unsigned i = 0; i < REMOTE_SLOTS; i++) {
        const struct remote_slot *slot = &slots->all[i];

        if (slot->req != NULL && slot->sync.state != REMOTE_SYNC_HELD &&
            now_ms - slot->sent_ms >= timeout_ms)
            return true;
    }
    return false;
}
