#include "tests/sim/trace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/sim/schedule.h"

#define KEPT 300u
#define TEXT_BYTES 240u

struct entry {
    uint64_t time_ns;
    const char *words; /* NULL: `text` */
    uint64_t numbers[4];
    char text[TEXT_BYTES];
};

static struct entry entries[KEPT];
static uint64_t count, hash = UINT64_C(0xcbf29ce484222325);
static bool aloud;
static void (*show_more)(void);
static unsigned marks[MARK_COUNT];

static void add(const void *data, size_t length_bytes)
{
    for (const uint8_t *at = data; length_bytes > 0;) {
        size_t bytes = length_bytes < 8 ? length_bytes : 8;
        uint64_t word = 0;

        memcpy(&word, at, bytes);
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
        at += bytes;
        length_bytes -= bytes;
    }
}

static void print(const struct entry *entry)
{
    fprintf(stderr, "%12.6f  ", (double)entry->time_ns / 1e9);
    if (entry->words == NULL)
        fprintf(stderr, "%s\n", entry->text);
    else {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        fprintf(stderr, entry->words, entry->numbers[0], entry->numbers[1], entry->numbers[2],
                entry->numbers[3]);
#pragma GCC diagnostic pop
        fprintf(stderr, "\n");
    }
}

static struct entry *next_entry(void)
{
    struct entry *entry = &entries[count++ % KEPT];

    entry->time_ns = sim_now_ns;
    add(&entry->time_ns, sizeof(entry->time_ns));
    return entry;
}

void trace_event(const char *words, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    struct entry *entry = next_entry();

    entry->words = words;
    entry->numbers[0] = a;
    entry->numbers[1] = b;
    entry->numbers[2] = c;
    entry->numbers[3] = d;
    add(words, strlen(words));
    add(entry->numbers, sizeof(entry->numbers));
    if (aloud)
        print(entry);
}

void trace_text(const char *text)
{
    struct entry *entry = next_entry();

    entry->words = NULL;
    (void)snprintf(entry->text, sizeof(entry->text), "%s", text);
    add(entry->text, strlen(entry->text));
    if (aloud)
        print(entry);
}

uint64_t trace_hash(void)
{
    return hash;
}

uint64_t trace_event_count(void)
{
    return count;
}

void trace_aloud(void)
{
    aloud = true;
}

void trace_print_last(void)
{
    for (uint64_t i = count > KEPT ? count - KEPT : 0; i < count && !aloud; i++)
        print(&entries[i % KEPT]);
}

void sim_fail_shows(void (*show)(void))
{
    show_more = show;
}

void sim_fail(const char *format, ...)
{
    va_list args;

    trace_print_last();
    fprintf(stderr, "FAILED: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    if (show_more != NULL)
        show_more();
    fflush(stderr);
    _exit(1);
}

static const char *const mark_names[] = {
#define MARK_NAME(name) #name,
    MARKS(MARK_NAME)
};

void mark(enum mark mark)
{
    marks[mark]++;
}

unsigned mark_count(enum mark mark)
{
    return marks[mark];
}

const char *mark_name(enum mark mark)
{
    return mark_names[mark];
}
