#include "server/serve/kept-settings.h"

#include <stdlib.h>
#include <string.h>

#include "server/access/access.h"
#include "server/serve/export-options.h"

/* True: it has been copied, or was NULL. */
static bool keep_text(const char **text)
{
    if (*text != NULL)
        *text = strdup(*text);
    return *text != NULL;
}

static bool keep_list(struct param_list *list)
{
    const struct param_list of = *list;

    *list = (struct param_list){ .items = calloc(of.count + 1, sizeof *list->items) };
    if (list->items == NULL)
        return false;
    while (list->count < of.count) {
        const char *text = strdup(of.items[list->count]);

        if (text == NULL)
            return false;
        list->items[list->count++] = text;
    }
    return true;
}

/* What holds, wherever it was said. */
static struct header_demands demands_that_hold(const struct export_settings *settings)
{
    const struct luks_demands *demands = &settings->demands;

    return (struct header_demands){
        .uuid = demands->uuid,
        .digest = demands->digest,
        .ciphers = { (const char **)demands->ciphers, demands->cipher_count },
        .key_bits_min = demands->key_bits_min,
        .iterations_max = demands->iterations_max,
        .memory_kib_max = demands->memory_kib_max,
    };
}

/* Each field is a copy, or empty. */
static bool keep_fields(struct export_settings *kept)
{
    bool all = true;

    for (const struct param *row = export_params; row->name != NULL; row++) {
        void *field = (char *)kept + row->offset;

        if (row->type == PARAM_STRING && *(const char **)field != NULL)
            all &= keep_text(field);
        else if (row->type == PARAM_LIST)
            all &= keep_list(field);
    }
    return all;
}

static bool keep_metadata(struct export_metadata *metadata)
{
    const struct export_metadata of = *metadata;
    int result = 0;

    *metadata = (struct export_metadata){ 0 };
    for (size_t i = 0; i < of.count && result == 0; i++)
        result = export_metadata_set(metadata, of.items[i].name_space, of.items[i].value,
                                     of.items[i].value_bytes, NULL);
    return result == 0;
}

struct export_settings *kept_settings_create(struct export_settings *settings)
{
    struct export_settings *kept = malloc(sizeof *kept);

    if (kept == NULL)
        return NULL;
    *kept = *settings;
    kept->access = NULL;
    kept->header_demands = demands_that_hold(settings);
    bool all = keep_text(&kept->name);
    all &= keep_text(&kept->image);
    all &= keep_fields(kept);
    all &= keep_metadata(&kept->metadata);
    if (!all) {
        kept_settings_free(kept);
        return NULL;
    }
    kept->demands = header_demands_meaning(&kept->header_demands);
    kept->access = settings->access;
    settings->access = NULL;
    return kept;
}

struct export_settings *kept_settings_common(const struct export_settings *common)
{
    struct export_settings copy = *common;

    copy.name = copy.image = "";
    copy.access = NULL;
    copy.metadata = (struct export_metadata){ 0 };
    copy.demands = header_demands_meaning(&common->header_demands);
    return kept_settings_create(&copy);
}

void kept_settings_free(struct export_settings *kept)
{
    for (const struct param *row = export_params; row->name != NULL; row++) {
        void *field = (char *)kept + row->offset;
        struct param_list *list = field;

        if (row->type == PARAM_STRING)
            free(*(char **)field);
        else if (row->type == PARAM_LIST)
            while (list->count > 0)
                free((char *)list->items[--list->count]);
    }
    params_free(kept, export_params);
    export_metadata_free(&kept->metadata);
    access_free(kept->access);
    free((char *)kept->name);
    free((char *)kept->image);
    free(kept);
}
