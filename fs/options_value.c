/*
 * The values of mount options: each TYPE of options.def has its way to be read, checked, stored and refused here. Owns no table
 * (options.c does).
 */
#include "options_value.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/glob.h"
#include "base/units.h"
#include "pool/evict.h"

#define BLOCK_BYTES 4096 /* sizes are multiples of it: a page */

int option_refuse(struct option_parser *p, const char *fmt, ...)
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

/* "off, evict or always", of "off|evict|always" */
static void list_words(char *buf, size_t len_bytes, const char *metavar)
{
	size_t len = 0;

	for (const char *bar; len < len_bytes; metavar = bar + 1) {
		bar = strchr(metavar, '|');
		int n = snprintf(buf + len, len_bytes - len, "%.*s%s",
				 bar ? (int)(bar - metavar) : (int)strlen(metavar), metavar,
				 !bar                   ? ""
				 : strchr(bar + 1, '|') ? ", "
							: " or ");
		len += n > 0 ? (size_t)n : 0;
		if (!bar)
			return;
	}
}

/* "clock, lru, innodb" */
static void list_policies(char *buf, size_t len_bytes)
{
	size_t len = 0;

	for (size_t i = 0; evict_at(i) && len < len_bytes; i++) {
		int n = snprintf(buf + len, len_bytes - len, "%s%s", i ? ", " : "", evict_at(i)->name);
		len += n > 0 ? (size_t)n : 0;
	}
}

/* Which of the words of "off|evict|always" that is; -1: none of them. */
static int word_index(const char *metavar, const char *word)
{
	size_t len = strlen(word);

	for (int i = 0;; i++) {
		size_t n = strcspn(metavar, "|");
		if (n == len && memcmp(metavar, word, n) == 0)
			return i;
		if (!metavar[n])
			return -1;
		metavar += n + 1;
	}
}

/* Refuses `word`, saying what its option takes. */
static int refuse_value(struct option_parser *p, const struct option_row *row, const char *word)
{
	char policies[128];
	char taken[256], paths[128];

	switch (row->type) {
	case TYPE_PATH:
		list_paths(taken, sizeof(taken));
		break;
	case TYPE_RULE:
		snprintf(taken, sizeof(taken), "GLOB:PATH, such as *.wal:direct, PATH being %s",
			 list_paths(paths, sizeof(paths)));
		break;
	case TYPE_WORD:
	case TYPE_POLICY:
		list_words(taken, sizeof(taken), row->metavar);
		break;
	case TYPE_POLICIES:
		list_policies(policies, sizeof(policies));
		snprintf(taken, sizeof(taken), "policies, such as lru,s3fifo, out of %s", policies);
		break;
	case TYPE_SIZE:
		snprintf(taken, sizeof(taken), "a size from %s to %s, a multiple of 4K", row->least,
			 row->most);
		break;
	case TYPE_PAGE:
		snprintf(taken, sizeof(taken), "a power of two from %s to %s", row->least, row->most);
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
	return option_refuse(p, "bad mount option '%.200s': %s takes %s", word, row->name, taken);
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
static int add_rule(struct option_parser *p, const struct option_row *row, const char *word,
		    const char *value)
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
	return why ? option_refuse(p, "bad mount option '%.200s': the glob %s", word, why) : 0;
}

/* What is stored in an unsigned, an enum or a uint64_t. */
static void store_number(const struct option_row *row, void *field, uint64_t number)
{
	unsigned small = (unsigned)number;

	memcpy(field, row->field_bytes == sizeof(small) ? (void *)&small : (void *)&number,
	       row->field_bytes);
}

/* Reads one word of a list into *number. */
static bool is_word_ok(const struct option_row *row, const char *value, uint64_t *number)
{
	int index = row->type == TYPE_PATH ? (int)path_id_parse(value) : word_index(row->metavar, value);

	*number = (uint64_t)index;
	return index >= 0 && !(row->type == TYPE_PATH && index == PATH_ID_COUNT);
}

bool option_add_ghost(struct options *o, const char *name)
{
	const struct evict_ops *policy = evict_find(name);
	size_t i = 0;

	while (i < o->pool_ghosts_count && o->pool_ghosts[i] != policy)
		i++;
	if (!policy || i == POOL_GHOSTS_MAX)
		return false;
	o->pool_ghosts[i] = policy;
	if (i == o->pool_ghosts_count)
		o->pool_ghosts_count++;
	return true;
}

/* A list in one word, its commas escaped; mostly it is the first policy of one (options.h). */
static bool set_ghosts(struct options *o, const char *value)
{
	char name[32];

	o->pool_ghosts_count = 0;
	for (;; value++) {
		size_t len = strcspn(value, ",");
		if (len >= sizeof(name))
			return false;
		memcpy(name, value, len);
		name[len] = '\0';
		if (!option_add_ghost(o, name))
			return false;
		value += len;
		if (!*value)
			return true;
	}
}

int option_set(struct option_parser *p, const struct option_row *row, const char *word, const char *value)
{
	void *field = (char *)p->o + row->offset;
	const struct evict_ops *policy;
	uint64_t number = 0;
	bool is_ok = false;

	if (!value != (row->type == TYPE_FLAG))
		return refuse_value(p, row, word);
	switch (row->type) {
	case TYPE_RULE:
		return add_rule(p, row, word, value);
	case TYPE_PATH:
	case TYPE_WORD:
		is_ok = is_word_ok(row, value, &number);
		break;
	case TYPE_POLICY:
		policy = evict_find(value);
		if (policy)
			*(const struct evict_ops **)field = policy;
		return policy ? 0 : refuse_value(p, row, word);
	case TYPE_POLICIES:
		return set_ghosts(p->o, value) ? 0 : refuse_value(p, row, word);
	case TYPE_SIZE:
		is_ok = is_size_ok(row, value, &number);
		break;
	case TYPE_PAGE:
		is_ok = is_size_ok(row, value, &number) && (number & (number - 1)) == 0;
		break;
	case TYPE_COUNT:
		is_ok = is_count_ok(row, value, &number);
		break;
	case TYPE_SECONDS:
		return is_seconds_ok(row, value, field) ? 0 : refuse_value(p, row, word);
	case TYPE_FLAG:
		*(bool *)field = true;
		return 0;
	}
	if (!is_ok)
		return refuse_value(p, row, word);
	store_number(row, field, number);
	return 0;
}
