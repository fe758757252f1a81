/*
 * A table for a terminal or a file: the first column is text, aligned left and shortened where the terminal is
 * too narrow; the others are numbers, aligned right.
 */
#ifndef ZCFS_TABLE_H
#define ZCFS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

struct table {
	size_t columns; /* set by the caller, before the first cell */
	size_t count, capacity;
	char **cells; /* row by row */
};

/* Adds the next cell, a copy of text with what a terminal would act on as \ooo. 0 or -ENOMEM. */
int table_add(struct table *t, const char *text) MUST_CHECK;

/* Adds a number: a count as digits, or bytes with a unit where is_bytes and not is_exact. 0 or -ENOMEM. */
int table_add_number(struct table *t, uint64_t value, bool is_bytes, bool is_exact) MUST_CHECK;

/* Prints what was added to stdout, to the width of the terminal there, if it is one. */
void table_print(const struct table *t);

void table_fini(struct table *t);

#endif
