#include "server/config/config-problems.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/log.h"
#include "server/base/utf8.h"

/* A name in it may have been cut within a character, or have a tab.  NULL: no memory. */
static char *clean_text(const char *format, va_list args)
{
    char *text, *clean;

    if (vasprintf(&text, format, args) < 0)
        return NULL;
    clean = utf8_clean(text, strlen(text));
    free(text);
    return clean;
}

void config_problem(struct config_problems *problems, const struct config_place *place,
                    const char *format, ...)
{
    struct config_problem *items = NULL;
    va_list args;
    char *text = NULL;

    va_start(args, format);
    if (problems->count < CONFIG_PROBLEMS_MAX)
        text = clean_text(format, args);
    va_end(args);
    if (text != NULL)
        items = reallocarray(problems->items, problems->count + 1, sizeof *items);
    if (items == NULL) {
        free(text);
        problems->more++;
        return;
    }
    items[problems->count++] = (struct config_problem){ .place = *place, .text = text };
    problems->items = items;
}

static int by_place(const void *a, const void *b)
{
    const struct config_place *one = &((const struct config_problem *)a)->place;
    const struct config_place *other = &((const struct config_problem *)b)->place;

    if (one->order != other->order)
        return one->order < other->order ? -1 : 1;
    return one->line < other->line ? -1 : one->line > other->line;
}

void config_problems_sort(struct config_problems *problems)
{
    if (problems->count > 1)
        qsort(problems->items, problems->count, sizeof *problems->items, by_place);
}

void config_problems_log(const struct config_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct config_problem *one = &problems->items[i];

        if (one->place.file == NULL)
            log_error("%s", one->text);
        else if (one->place.line == 0)
            log_error("%s: %s", one->place.file, one->text);
        else
            log_error("%s:%u: %s", one->place.file, one->place.line, one->text);
    }
    if (problems->more > 0)
        log_error("and %zu more", problems->more);
}

void config_problems_free(struct config_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++)
        free(problems->items[i].text);
    free(problems->items);
    *problems = (struct config_problems){ 0 };
}
