/*
 * What options.c and options_value.c share: a row of options.def, and the parse it is used in. Layer: as options.h.
 */
#ifndef ZCFS_OPTIONS_VALUE_H
#define ZCFS_OPTIONS_VALUE_H

#include "options.h"

enum option_type {
	TYPE_PATH,
	TYPE_RULE,
	TYPE_WORD,
	TYPE_POLICY,
	TYPE_POLICIES,
	TYPE_SIZE,
	TYPE_PAGE,
	TYPE_COUNT,
	TYPE_SECONDS,
	TYPE_FLAG
};

struct option_row {
	enum option_type type;
	size_t offset, field_bytes;
	const char *name, *metavar, *value, *least, *most;
};

struct option_parser {
	struct options *o;
	char *err;
	size_t err_bytes;
	bool is_listing; /* the word before was one of a list's */
};

/* Says what is wrong, in one line: what it quotes is the user's and may hold anything. Returns -EINVAL. */
int option_refuse(struct option_parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Adds a policy to the list; false if there is none of that name. */
bool option_add_ghost(struct options *o, const char *name);

/* Stores `value` (NULL: the word has none) where the row says; `word` is what to quote. 0, -EINVAL with a line, or -ENOMEM. */
int option_set(struct option_parser *p, const struct option_row *row, const char *word,
	       const char *value) MUST_CHECK;

#endif
