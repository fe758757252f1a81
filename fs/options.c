/*
 * Owns the meaning of the text behind -o: it walks the words, looks each up in the tables made of
 * options.def, and stores or refuses it. Defaults go through the same functions, so that a default
 * out of its own range cannot be. It prints nothing: the line that says what is wrong goes to the
 * caller. No threads: parsing is done before they start, and afterwards the options are read-only.
 */
#include "options_value.h"

#include <errno.h>
#include <string.h>

#include "base/glob.h"
#include "base/suggest.h"
#include "pool/evict.h"

enum usual_fate { FATE_PASS, FATE_DROP, FATE_REFUSE };

struct usual_row {
	enum usual_fate fate;
	const char *word, *why;
};

static const struct option_row option_rows[] = {
#define OPTION(type, field, name, metavar, value, least, most, help) \
	{TYPE_##type,                                                \
	 offsetof(struct options, field),                            \
	 sizeof(((struct options *)0)->field),                       \
	 name,                                                       \
	 metavar,                                                    \
	 value,                                                      \
	 least,                                                      \
	 most},
#include "options.def"
};

static const struct usual_row usual_rows[] = {
#define USUAL(fate, word, why) {FATE_##fate, word, why},
#include "options.def"
};

static const size_t option_count = sizeof(option_rows) / sizeof(option_rows[0]);
static const size_t usual_count = sizeof(usual_rows) / sizeof(usual_rows[0]);

/* Appends to o->fuse, escaped so that libfuse reads the same word. */
static int pass_to_fuse(struct options *o, const char *word)
{
	size_t len = strlen(o->fuse);
	char *fuse = realloc(o->fuse, len + 1 + 2 * strlen(word) + 1), *end;

	if (!fuse)
		return -ENOMEM;
	o->fuse = fuse;
	end = fuse + len;
	if (len > 0)
		*end++ = ',';
	for (; *word; word++) {
		if (*word == ',' || *word == '\\')
			*end++ = '\\';
		*end++ = *word;
	}
	*end = '\0';
	return 0;
}

static bool is_usual(const struct usual_row *row, const char *word)
{
	size_t len = strlen(row->word);

	if (row->fate == FATE_REFUSE)
		return strncmp(word, row->word, len) == 0 && (word[len] == '\0' || word[len] == '=');
	if (row->word[len - 1] == '=')
		return strncmp(word, row->word, len) == 0 && word[len] != '\0';
	if (row->word[len - 1] == '*')
		return strncmp(word, row->word, len - 1) == 0;
	return strcmp(word, row->word) == 0;
}

/* 1 if `word` is none of the usual ones. */
static int apply_usual(struct option_parser *p, const char *word)
{
	const struct usual_row *row = NULL;

	for (size_t i = 0; i < usual_count && !row; i++)
		if (is_usual(&usual_rows[i], word))
			row = &usual_rows[i];
	if (!row)
		return 1;
	if (row->fate == FATE_REFUSE)
		return option_refuse(p, "mount option '%.200s' is not for zcfs: %s", word, row->why);
	if (row->fate == FATE_PASS) {
		p->o->allow_root |= strcmp(word, "allow_root") == 0;
		p->o->auto_unmount |= strcmp(word, "auto_unmount") == 0;
		return pass_to_fuse(p->o, word);
	}
	if (strcmp(word, "rw") == 0)
		p->o->is_read_only = false;
	return 0;
}

static int refuse_unknown(struct option_parser *p, const char *word)
{
	struct suggestion near = suggest_start(word, strcspn(word, "="));

	for (size_t i = 0; i < option_count; i++)
		suggest_offer(&near, option_rows[i].name, strlen(option_rows[i].name));
	for (size_t i = 0; i < usual_count; i++)
		if (usual_rows[i].fate == FATE_PASS)
			suggest_offer(&near, usual_rows[i].word, strcspn(usual_rows[i].word, "="));
	for (size_t i = 0; p->is_listing && evict_at(i); i++)
		suggest_offer(&near, evict_at(i)->name, strlen(evict_at(i)->name));
	if (!near.nearest)
		return option_refuse(p,
				     "unknown mount option '%.200s': 'zcfs mount --help' lists those "
				     "there are",
				     word);
	/* The very name: only its value is too many or missing. */
	if (near.limit == 0)
		return option_refuse(p, "bad mount option '%.200s': %.*s takes %s value", word,
				     (int)strcspn(near.nearest, "="), near.nearest,
				     strchr(near.nearest, '=') ? "a" : "no");
	return option_refuse(p, "unknown mount option '%.200s': did you mean '%s'?", word, near.nearest);
}

static int apply_word(struct option_parser *p, const char *word)
{
	size_t len = strcspn(word, "=");

	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_rows[i];
		if (strlen(row->name) == len && memcmp(row->name, word, len) == 0) {
			p->is_listing = row->type == TYPE_POLICIES;
			return option_set(p, row, word, word[len] ? word + len + 1 : NULL);
		}
	}
	if (p->is_listing && option_add_ghost(p->o, word))
		return 0;
	int rc = apply_usual(p, word);
	rc = rc > 0 ? refuse_unknown(p, word) : rc;
	p->is_listing = false;
	return rc;
}

/* Copies the word at *text to `word`, unescaped, and moves *text behind it. */
static int take_word(struct option_parser *p, const char **text, char *word)
{
	static const char quotable[] = "context=";
	const char *s = *text;
	char *end = word;
	bool is_quoted = false;

	for (; *s && (*s != ',' || is_quoted); s++) {
		size_t len = (size_t)(end - word), tail = strlen(quotable);
		if (*s == '"' && is_quoted)
			is_quoted = false;
		else if (*s == '"')
			is_quoted = len >= tail && memcmp(end - tail, quotable, tail) == 0;
		else if (s[0] == '\\' && (s[1] == ',' || s[1] == '\\'))
			s++;
		*end++ = *s;
	}
	*end = '\0';
	*text = *s ? s + 1 : s;
	return is_quoted ? option_refuse(p, "bad mount option '%.200s': a closing quote is missing", word)
			 : 0;
}

/* `word` is scratch space, as long as text. */
static int apply_text(struct option_parser *p, const char *text, char *word)
{
	int rc = 0;

	while (rc == 0 && *text) {
		rc = take_word(p, &text, word);
		if (rc == 0 && *word)
			rc = apply_word(p, word);
	}
	if (rc == 0 && p->o->allow_root && p->o->allow_other)
		rc = option_refuse(p, "mount options allow_root and allow_other contradict each other: "
				      "give one of them");
	return rc;
}

static int apply_defaults(struct option_parser *p)
{
	int rc = 0;

	p->o->fuse = strdup("");
	if (!p->o->fuse)
		return -ENOMEM;
	for (size_t i = 0; i < option_count && rc == 0; i++)
		if (*option_rows[i].value)
			rc = option_set(p, &option_rows[i], option_rows[i].name, option_rows[i].value);
	return rc;
}

int options_parse(struct options *o, const char *text, char *err, size_t err_bytes)
{
	struct option_parser p = {.o = o, .err = err, .err_bytes = err_bytes};

	*o = (struct options){0};
	int rc = apply_defaults(&p);
	if (rc == 0 && text) {
		char *word = malloc(strlen(text) + 1);
		rc = word ? apply_text(&p, text, word) : -ENOMEM;
		free(word);
	}
	if (rc == -ENOMEM)
		option_refuse(&p, "out of memory while reading the mount options");
	if (rc < 0)
		options_free(o);
	return rc;
}

void options_free(struct options *o)
{
	for (size_t i = 0; i < o->rules_count; i++)
		free(o->rules[i].glob);
	free(o->rules);
	free(o->fuse);
	*o = (struct options){0};
}

enum path_id options_path_for(const struct options *o, const char *relpath)
{
	for (size_t i = 0; i < o->rules_count; i++)
		if (glob_match(o->rules[i].glob, relpath))
			return o->rules[i].path;
	return o->path;
}

bool options_name_pool(const struct options *o)
{
	bool is_named = o->path == PATH_ID_pool;

	for (size_t i = 0; i < o->rules_count; i++)
		is_named |= o->rules[i].path == PATH_ID_pool;
	return is_named;
}
