/*
 * Owns the meaning of the text behind -o: it walks the words, looks each up in the tables made of
 * options.def, and stores or refuses it. Defaults go through the same functions, so that a default
 * out of its own range cannot be. It prints nothing: the line that says what is wrong goes to the
 * caller. No threads: parsing is done before they start, and afterwards the options are read-only.
 */
#include "options.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/glob.h"
#include "base/suggest.h"
#include "base/units.h"

#define BLOCK_BYTES 4096 /* sizes are multiples of it: a page */

enum option_type {
	TYPE_PATH,
	TYPE_RULE,
	TYPE_CACHE,
	TYPE_SIZE,
	TYPE_COUNT,
	TYPE_SECONDS,
	TYPE_FLAG
};
enum usual_fate { FATE_PASS, FATE_DROP, FATE_REFUSE };

struct option_row {
	enum option_type type;
	size_t offset, field_bytes;
	const char *name, *value, *least, *most;
};

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

struct parser {
	struct options *o;
	char *err;
	size_t err_bytes;
};

/* Says what is wrong, in one line: what it quotes is the user's and may hold anything. */
__attribute__((format(printf, 2, 3))) static int refuse(struct parser *p, const char *fmt, ...)
{
	va_list args;

	if (p->err_bytes == 0)
		return -EINVAL;
	va_start(args, fmt);
	vsnprintf(p->err, p->err_bytes, fmt, args);
	va_end(args);
	for (char *s = p->err; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
	return -EINVAL;
}

/* "auto, splice, copy or direct" */
static const char *list_paths(char *buf, size_t len_bytes)
{
	size_t len = 0;

	for (int id = 0; id < PATH_ID_COUNT && len < len_bytes; id++) {
		const char *sep = id == 0 ? "" : id == PATH_ID_COUNT - 1 ? " or " : ", ";
		int n = snprintf(buf + len, len_bytes - len, "%s%s", sep,
				 path_id_name((enum path_id)id));
		len += n > 0 ? (size_t)n : 0;
	}
	return buf;
}

/* Refuses `word`, saying what its option takes. */
static int refuse_value(struct parser *p, const struct option_row *row, const char *word)
{
	char taken[256], paths[128];

	switch (row->type) {
	case TYPE_PATH:
		list_paths(taken, sizeof(taken));
		break;
	case TYPE_RULE:
		snprintf(taken, sizeof(taken), "GLOB:PATH, such as *.wal:direct, PATH being %s",
			 list_paths(paths, sizeof(paths)));
		break;
	case TYPE_CACHE:
		snprintf(taken, sizeof(taken), "kernel or none");
		break;
	case TYPE_SIZE:
		snprintf(taken, sizeof(taken), "a size from %s to %s, a multiple of 4K", row->least,
			 row->most);
		break;
	case TYPE_COUNT:
		snprintf(taken, sizeof(taken), "a whole number from %s to %s", row->least, row->most);
		break;
	case TYPE_SECONDS:
		snprintf(taken, sizeof(taken), "seconds from %s to %s, such as 0.5", row->least,
			 row->most);
		break;
	case TYPE_FLAG:
		snprintf(taken, sizeof(taken), "no value");
		break;
	}
	return refuse(p, "bad mount option '%.200s': %s takes %s", word, row->name, taken);
}

/* The bounds are literals of options.def; one that did not parse would be our bug. */
static bool is_size_ok(const struct option_row *row, const char *value, uint64_t *out)
{
	uint64_t least = 0, most = 0;

	return units_parse_size(row->least, &least) == 0 &&
	       units_parse_size(row->most, &most) == 0 && units_parse_size(value, out) == 0 &&
	       *out >= least && *out <= most && *out % BLOCK_BYTES == 0;
}

static bool is_count_ok(const struct option_row *row, const char *value, uint64_t *out)
{
	uint64_t least = 0, most = 0;

	return units_parse_uint(row->least, UINT64_MAX, &least) == 0 &&
	       units_parse_uint(row->most, UINT64_MAX, &most) == 0 &&
	       units_parse_uint(value, most, out) == 0 && *out >= least;
}

static bool is_seconds_ok(const struct option_row *row, const char *value, double *out)
{
	double least = 0, most = 0;

	return units_parse_seconds(row->least, &least) == 0 &&
	       units_parse_seconds(row->most, &most) == 0 && units_parse_seconds(value, out) == 0 &&
	       *out >= least && *out <= most;
}

/* The glob is the options' from the start: they are freed as a whole if it is bad. */
static int add_rule(struct parser *p, const struct option_row *row, const char *word, const char *value)
{
	struct options *o = p->o;
	const char *colon = strrchr(value, ':'), *why;
	enum path_id path = colon ? path_id_parse(colon + 1) : PATH_ID_COUNT;

	if (path == PATH_ID_COUNT)
		return refuse_value(p, row, word);
	struct rule *rules = reallocarray(o->rules, o->rules_count + 1, sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	o->rules = rules;
	char *glob = strndup(value, (size_t)(colon - value));
	if (!glob)
		return -ENOMEM;
	rules[o->rules_count++] = (struct rule){.glob = glob, .path = path};
	why = glob_error(glob);
	return why ? refuse(p, "bad mount option '%.200s': the glob %s", word, why) : 0;
}

/* Stores `value` (NULL: the word has none) where the row says. */
static int set_option(struct parser *p, const struct option_row *row, const char *word, const char *value)
{
	void *field = (char *)p->o + row->offset;
	uint64_t number = 0;
	unsigned small;
	enum path_id path;

	if (!value != (row->type == TYPE_FLAG))
		return refuse_value(p, row, word);
	switch (row->type) {
	case TYPE_PATH:
		path = path_id_parse(value);
		if (path == PATH_ID_COUNT)
			return refuse_value(p, row, word);
		*(enum path_id *)field = path;
		return 0;
	case TYPE_RULE:
		return add_rule(p, row, word, value);
	case TYPE_CACHE:
		if (strcmp(value, "kernel") != 0 && strcmp(value, "none") != 0)
			return refuse_value(p, row, word);
		*(enum cache_mode *)field = *value == 'k' ? CACHE_KERNEL : CACHE_NONE;
		return 0;
	case TYPE_SIZE:
		return is_size_ok(row, value, field) ? 0 : refuse_value(p, row, word);
	case TYPE_COUNT:
		if (!is_count_ok(row, value, &number))
			return refuse_value(p, row, word);
		small = (unsigned)number;
		memcpy(field, row->field_bytes == sizeof(small) ? (void *)&small : (void *)&number,
		       row->field_bytes);
		return 0;
	case TYPE_SECONDS:
		return is_seconds_ok(row, value, field) ? 0 : refuse_value(p, row, word);
	case TYPE_FLAG:
		*(bool *)field = true;
	}
	return 0;
}

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
static int apply_usual(struct parser *p, const char *word)
{
	const struct usual_row *row = NULL;

	for (size_t i = 0; i < usual_count && !row; i++)
		if (is_usual(&usual_rows[i], word))
			row = &usual_rows[i];
	if (!row)
		return 1;
	if (row->fate == FATE_REFUSE)
		return refuse(p, "mount option '%.200s' is not for zcfs: %s", word, row->why);
	if (row->fate == FATE_PASS) {
		p->o->allow_root |= strcmp(word, "allow_root") == 0;
		p->o->auto_unmount |= strcmp(word, "auto_unmount") == 0;
		return pass_to_fuse(p->o, word);
	}
	if (strcmp(word, "rw") == 0)
		p->o->is_read_only = false;
	return 0;
}

static int refuse_unknown(struct parser *p, const char *word)
{
	struct suggestion near = suggest_start(word, strcspn(word, "="));

	for (size_t i = 0; i < option_count; i++)
		suggest_offer(&near, option_rows[i].name, strlen(option_rows[i].name));
	for (size_t i = 0; i < usual_count; i++)
		if (usual_rows[i].fate == FATE_PASS)
			suggest_offer(&near, usual_rows[i].word, strcspn(usual_rows[i].word, "="));
	if (!near.nearest)
		return refuse(p,
			      "unknown mount option '%.200s': 'zcfs mount --help' lists those "
			      "there are",
			      word);
	/* The very name: only its value is too many or missing. */
	if (near.limit == 0)
		return refuse(p, "bad mount option '%.200s': %.*s takes %s value", word,
			      (int)strcspn(near.nearest, "="), near.nearest,
			      strchr(near.nearest, '=') ? "a" : "no");
	return refuse(p, "unknown mount option '%.200s': did you mean '%s'?", word, near.nearest);
}

static int apply_word(struct parser *p, const char *word)
{
	size_t len = strcspn(word, "=");

	for (size_t i = 0; i < option_count; i++) {
		const struct option_row *row = &option_rows[i];
		if (strlen(row->name) == len && memcmp(row->name, word, len) == 0)
			return set_option(p, row, word, word[len] ? word + len + 1 : NULL);
	}
	int rc = apply_usual(p, word);
	return rc > 0 ? refuse_unknown(p, word) : rc;
}

/* Copies the word at *text to `word`, unescaped, and moves *text behind it. */
static int take_word(struct parser *p, const char **text, char *word)
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
	return is_quoted ? refuse(p, "bad mount option '%.200s': a closing quote is missing", word) : 0;
}

/* `word` is scratch space, as long as text. */
static int apply_text(struct parser *p, const char *text, char *word)
{
	int rc = 0;

	while (rc == 0 && *text) {
		rc = take_word(p, &text, word);
		if (rc == 0 && *word)
			rc = apply_word(p, word);
	}
	if (rc == 0 && p->o->allow_root && p->o->allow_other)
		rc = refuse(p, "mount options allow_root and allow_other contradict each other: "
			       "give one of them");
	return rc;
}

static int apply_defaults(struct parser *p)
{
	int rc = 0;

	p->o->fuse = strdup("");
	if (!p->o->fuse)
		return -ENOMEM;
	for (size_t i = 0; i < option_count && rc == 0; i++)
		if (*option_rows[i].value)
			rc = set_option(p, &option_rows[i], option_rows[i].name, option_rows[i].value);
	return rc;
}

int options_parse(struct options *o, const char *text, char *err, size_t err_bytes)
{
	struct parser p = {.o = o, .err = err, .err_bytes = err_bytes};

	*o = (struct options){0};
	int rc = apply_defaults(&p);
	if (rc == 0 && text) {
		char *word = malloc(strlen(text) + 1);
		rc = word ? apply_text(&p, text, word) : -ENOMEM;
		free(word);
	}
	if (rc == -ENOMEM)
		refuse(&p, "out of memory while reading the mount options");
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
