#include "server/control/control-groups.h"

#include <string.h>

struct json_object *control_view_terms(const struct limit_terms *terms)
{
    struct json_object *limits = json_object_new_object();
    char value[LIMIT_TEXT_BYTES];
    const char *key;
    unsigned at = 0;

    while (limit_terms_next(terms, &at, &key, value))
        control_add_text(limits, key, value);
    return limits;
}

/* By the names of groups: the names of their exports. */
static struct json_object *list_members(const struct export_set *set)
{
    struct json_object *members = json_object_new_object();

    for (size_t i = 0; i < set->count; i++) {
        const struct limit_set *group = atomic_load(&set->exports[i]->group);

        if (group == NULL)
            continue;
        struct json_object *names = control_member(members, limit_group_name(group));
        if (names == NULL) {
            names = json_object_new_array();
            control_add(members, limit_group_name(group), names);
        }
        control_append(names, varlink_text(set->exports[i]->name));
    }
    return members;
}

static struct json_object *view(const struct limit_set *group, struct json_object *members)
{
    struct json_object *json = json_object_new_object();
    struct json_object *names = control_member(members, limit_group_name(group));

    control_add_text(json, "name", limit_group_name(group));
    control_add(json, "limits", control_view_terms(&group->terms));
    control_add_number(json, "weight", atomic_load(&group->weight));
    control_add(json, "exports", names != NULL ? json_object_get(names) : json_object_new_array());
    return json;
}

/* All of them, or the one that is named. */
void control_list_groups(struct control_client *client)
{
    const char *name = control_text(client->varlink.call.parameters, "name");
    const struct control_host *host = &client->control->host;
    struct json_object *list = json_object_new_array();
    struct json_object *members = list_members(host->lock(host->context));
    const struct limit_set *group = limit_groups_next(NULL);

    host->unlock(host->context);
    for (; group != NULL; group = limit_groups_next(group))
        if (limit_group_is_configured(group) &&
            (name == NULL || strcmp(name, limit_group_name(group)) == 0))
            control_append(list, view(group, members));
    json_object_put(members);
    if (name == NULL || json_object_array_length(list) > 0) {
        varlink_reply(&client->varlink, control_with("groups", list), false);
    } else {
        json_object_put(list);
        control_error(client, CONTROL_NO_SUCH_GROUP, "name", name);
    }
}
