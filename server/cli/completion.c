#include "server/cli/completion.h"

#include <stdlib.h>
#include <string.h>

/* What comes before the word that is typed. */
struct place {
    const struct command *program, *command;
    const struct param *param; /* whose value is typed; NULL: none's */
    char **operands;           /* room for all words */
    int operand_count;
    char **words; /* those behind the command */
    int word_count;
    bool only_operands; /* behind "--" */
};

/* ---- what is offered ---- */

static void offer(FILE *out, const char *before, const char *word, size_t length, const char *help,
                  const char *typed)
{
    size_t before_length = strlen(before), typed_length = strlen(typed);
    bool begins = typed_length <= before_length
                      ? strncmp(before, typed, typed_length) == 0
                      : strncmp(before, typed, before_length) == 0 &&
                            typed_length - before_length <= length &&
                            strncmp(word, typed + before_length, typed_length - before_length) == 0;

    if (begins)
        fprintf(out, "%s%.*s\t%s\n", before, (int)length, word, help);
}

void completion_offer(FILE *out, const char *word, const char *help, const char *typed)
{
    offer(out, "", word, strlen(word), help, typed);
}

/* "a|b", one of which is meant; other names tell whether it is a file. */
static void offer_value(FILE *out, const char *before, const char *name, const char *typed)
{
    static const char *const files[] = { "FILE",   "IMAGE",  "PATH", "COMMAND",
                                         "SOURCE", "TARGET", NULL };
    static const char *const folders[] = { "DIR", "FOLDER", NULL };
    bool plain = name[strcspn(name, "| ]")] != '|';

    while (!plain && *name) {
        size_t length = strcspn(name, "| ]");

        offer(out, before, name, length, "", typed);
        if (name[length] != '|')
            break;
        name += length + 1;
    }
    for (size_t i = 0; files[i] != NULL && plain; i++)
        if (strncmp(files[i], name, strlen(files[i])) == 0)
            fprintf(out, ":files\n");
    for (size_t i = 0; folders[i] != NULL && plain; i++)
        if (strncmp(folders[i], name, strlen(folders[i])) == 0)
            fprintf(out, ":folders\n");
}

static void offer_value_of(FILE *out, const char *before, const struct param *param,
                           const char *typed)
{
    const char *value = param->choices != NULL ? param->choices : param->value;

    if (value != NULL)
        offer_value(out, before, value, typed);
}

static void offer_options(FILE *out, const struct param *params, const char *typed)
{
    for (const struct param *param = params; param->name != NULL; param++)
        offer(out, "--", param->name, strlen(param->name), param->help, typed);
}

static void offer_commands(FILE *out, const struct command *command, const char *typed)
{
    for (size_t i = 0; command->commands[i] != NULL; i++) {
        const struct command *one = command->commands[i];
        const char *word = command_line_word(one);

        if (one->help != NULL)
            offer(out, "", word, strlen(word), one->help, typed);
    }
}

/* Word number `index` of "IMAGE [FILE]". */
static void offer_operand(FILE *out, const struct command *command, int index, const char *typed)
{
    const char *name = command->operands;

    for (; index > 0 && name != NULL; index--) {
        name = strchr(name, ' ');
        name = name != NULL ? name + 1 : NULL;
    }
    if (name != NULL)
        offer_value(out, "", name + (*name == '['), typed);
}

/* ---- the words before it ---- */

static const struct param *find_option(const struct command *command, const char *word,
                                       size_t length)
{
    for (const struct param *param = command->params; param->name != NULL; param++) {
        bool by_letter = length == 2 && word[1] != '-' && param->letter == word[1];
        bool by_name = length > 2 && strncmp(word, "--", 2) == 0 &&
                       strlen(param->name) == length - 2 &&
                       strncmp(param->name, word + 2, length - 2) == 0;

        if (by_letter || by_name)
            return param;
    }
    return NULL;
}

static bool takes_value(const struct param *param)
{
    return param->type != PARAM_FLAG && param->type != PARAM_COUNT;
}

/* False: nothing can be said of what follows. */
static bool pass_word(struct place *place, char *word)
{
    int used;

    place->words[place->word_count++] = word;
    if (place->param != NULL) {
        place->param = NULL;
        return true;
    }
    if (place->command->commands != NULL) {
        const struct command *found = command_line_find(place->command, 1, &word, &used);

        place->command = found->takes_commands ? place->program : found;
        place->word_count = 0;
        return used == 1;
    }
    if (place->only_operands || word[0] != '-' || word[1] == '\0') {
        place->operands[place->operand_count++] = word;
        return true;
    }
    place->only_operands = strcmp(word, "--") == 0;
    const struct param *param = find_option(place->command, word, strlen(word));
    if (param != NULL && takes_value(param))
        place->param = param;
    return true;
}

/* "--tls=on", whose value is typed. */
static bool offer_behind_equals(FILE *out, const struct place *place, const char *typed)
{
    size_t length = strcspn(typed, "=");
    char before[64];

    if (typed[length] != '=' || strncmp(typed, "--", 2) != 0 || length + 2 > sizeof before)
        return false;
    const struct param *param = find_option(place->command, typed, length);
    memcpy(before, typed, length + 1);
    before[length + 1] = '\0';
    if (param != NULL && takes_value(param))
        offer_value_of(out, before, param, typed);
    return true;
}

/* What the command knows that no table says. */
static void offer_known(FILE *out, const struct place *place, const char *typed)
{
    const struct typing typing = { .param = place->param,
                                   .operands = place->operands,
                                   .operand_count = place->operand_count,
                                   .words = place->words,
                                   .word_count = place->word_count,
                                   .typed = typed };
    const char *name = place->command->offer(out, &typing);

    if (name != NULL)
        offer_value(out, "", name, typed);
}

static void offer_next(FILE *out, const struct place *place, const char *typed)
{
    const struct command *command = place->command;
    bool option = typed[0] == '-' && !place->only_operands;

    if (command->commands != NULL)
        offer_commands(out, command, typed);
    else if (command->params == NULL)
        return;
    else if (command->offer != NULL && (place->param != NULL || !option))
        offer_known(out, place, typed);
    else if (place->param != NULL)
        offer_value_of(out, "", place->param, typed);
    else if (!option)
        offer_operand(out, command, place->operand_count, typed);
    else if (!offer_behind_equals(out, place, typed))
        offer_options(out, command->params, typed);
}

void completion_print(FILE *out, const struct command *program, int count, char **words)
{
    size_t room = count > 0 ? (size_t)count : 1;
    struct place place = { .program = program,
                           .command = program,
                           .operands = calloc(room, sizeof *words),
                           .words = calloc(room, sizeof *words) };
    bool known = place.operands != NULL && place.words != NULL;

    for (int i = 0; known && i + 1 < count; i++)
        known = pass_word(&place, words[i]);
    if (known)
        offer_next(out, &place, count > 0 ? words[count - 1] : "");
    free(place.operands);
    free(place.words);
}
