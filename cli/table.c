/*
 * Lays out cells in columns as wide as their widest. Owns what a path looks like on a terminal: it is never
 * more than one line and never an escape sequence.
 */
#include "table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "base/units.h"
#include "json.h"

enum { COLUMNS_MAX = 32, FIRST_MIN = 16, GAP = 2 };

/* Columns that a code point takes; -1 if it is not to be printed. */
static int code_width(unsigned code)
{
	if (code < 0x20 || (code >= 0x7f && code < 0xa0))
		return -1;
	int width = wcwidth((wchar_t)code);
	/* A locale without Unicode knows none of them; take them for narrow. */
	return width < 0 && MB_CUR_MAX == 1 ? 1 : width;
}

/* Width of a text of printable UTF-8. */
static int text_width(const char *s)
{
	int width = 0;
	unsigned code;
	for (size_t len = strlen(s), n; len > 0; s += n, len -= n) {
		n = json_utf8_decode(s, len, &code);
		if (n == 0)
			return (int)len + width;
		width += code_width(code);
	}
	return width;
}

/* A copy with bytes that are not printable UTF-8 as \ooo. NULL when memory is short. */
static char *printable(const char *s)
{
	size_t len = strlen(s);
	char *out = malloc(len * 4 + 1), *w = out;
	unsigned code;
	if (!out)
		return NULL;
	while (len > 0) {
		size_t n = json_utf8_decode(s, len, &code);
		if (n > 0 && code_width(code) >= 0) {
			memcpy(w, s, n);
			w += n;
		} else {
			n = 1;
			w += sprintf(w, "\\%03o", (unsigned)(unsigned char)*s);
		}
		s += n;
		len -= n;
	}
	*w = '\0';
	return out;
}

int table_add(struct table *t, const char *text)
{
	if (t->count == t->capacity) {
		size_t capacity = t->capacity ? t->capacity * 2 : 256;
		char **cells = realloc(t->cells, capacity * sizeof(*cells));
		if (!cells)
			return -ENOMEM;
		t->cells = cells;
		t->capacity = capacity;
	}
	char *cell = printable(text);
	if (!cell)
		return -ENOMEM;
	t->cells[t->count++] = cell;
	return 0;
}

int table_add_number(struct table *t, uint64_t value, bool is_bytes, bool is_exact)
{
	char text[32];
	if (is_bytes && !is_exact)
		units_format_size(value, text, sizeof(text));
	else
		snprintf(text, sizeof(text), "%" PRIu64, value);
	return table_add(t, text);
}

/* Columns of the terminal on stdout; 0 if it is none. */
static int terminal_width(void)
{
	struct winsize size;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
		return 0;
	return size.ws_col;
}

/* Prints the end of a text in exactly `width` columns, a mark in front if something was left out. */
static void print_tail(const char *s, int width)
{
	int have = text_width(s);
	unsigned code;
	if (have > width) {
		fputs(MB_CUR_MAX > 1 ? "\u2026" : "<", stdout);
		for (int limit = width - 1; have > limit;) {
			size_t n = json_utf8_decode(s, strlen(s), &code);
			have -= code_width(code);
			s += n;
		}
		have++;
	}
	printf("%s%*s", s, width - have, "");
}

void table_print(const struct table *t)
{
	int widths[COLUMNS_MAX] = {0}, others = 0;
	for (size_t i = 0; i < t->count; i++) {
		int width = text_width(t->cells[i]);
		int *widest = &widths[i % t->columns];
		*widest = width > *widest ? width : *widest;
	}
	for (size_t c = 1; c < t->columns; c++)
		others += GAP + widths[c];
	int room = terminal_width() - others;
	if (room + others > 0 && widths[0] > room)
		widths[0] = room > FIRST_MIN ? room : FIRST_MIN;
	for (size_t i = 0; i < t->count; i++) {
		size_t c = i % t->columns;
		if (c == 0)
			print_tail(t->cells[i], widths[0]);
		else
			printf("%*s", widths[c] + GAP, t->cells[i]);
		if (c == t->columns - 1)
			putchar('\n');
	}
}

void table_fini(struct table *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct table){0};
}
