/*
 * The canvas is a grid of dots, 2 x 4 a character in braille (U+2800), 1 x 2 in ASCII:
 *
 *   100 % |                    .--*      hits, 0 to 100 % in equal steps
 *    50 % |        .--'''--'''           a mark at the pool's size
 *     0 % +---+---------+---------+
 *             1M        4M        16M    pool sizes, logarithmic
 */
#include "plot.h"

#include <errno.h>
#include <langinfo.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/units.h"

enum { COLUMNS_LEAST = 40, COLUMNS_MOST = 120, ROWS = 17, MARGIN = 7, LABEL = 8 };

struct canvas {
	bool is_utf8;
	int columns; /* of the curve, in characters */
	int dots_x, dots_y; /* a character */
	unsigned char *cell; /* its dots, bit (y * dots_x + x), row by row from the top */
	int mark; /* the column of the pool's size, -1: none */
};

int plot_columns(void)
{
	struct winsize size;
	const char *text = getenv("COLUMNS");
	char *end = NULL;
	long columns = text ? strtol(text, &end, 10) : 0;
	if (!text || end == text || *end || columns <= 0)
		columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
	if (columns < COLUMNS_LEAST)
		return COLUMNS_LEAST;
	return columns > COLUMNS_MOST ? COLUMNS_MOST : (int)columns;
}

/* 0 at the least size, 1 at the largest. */
static double place_of(const struct curve *c, double bytes)
{
	return log2(bytes / curve_least(c)) / log2(curve_most(c) / curve_least(c));
}

static int column_of(const struct canvas *v, const struct curve *c, double bytes)
{
	return (int)lround(place_of(c, bytes) * (v->columns - 1));
}

static void set_dot(struct canvas *v, int x, int y)
{
	int bit = y % v->dots_y * v->dots_x + x % v->dots_x;
	v->cell[y / v->dots_y * v->columns + x / v->dots_x] |= (unsigned char)(1 << bit);
}

/* A line without gaps: each column of dots reaches to the last one's. */
static void draw(struct canvas *v, const struct curve *c)
{
	int width = v->columns * v->dots_x, height = ROWS * v->dots_y, last = -1;
	for (int x = 0; x < width; x++) {
		double part = (double)x / (width - 1);
		double bytes = curve_least(c) * exp2(part * log2(curve_most(c) / curve_least(c)));
		int y = (int)lround((1 - curve_at(c, bytes)) * (height - 1));
		set_dot(v, x, y);
		for (int gap = y + 1; gap < last; gap++)
			set_dot(v, x, gap);
		last = y;
	}
}

/* ---- characters ---- */

static void print_cell(const struct canvas *v, int row, int column)
{
	/* Braille numbers its dots down the left column, then the right, then the lowest two. */
	static const unsigned char braille[] = {0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40, 0x80};
	static const char ascii[] = {' ', '\'', '.', ':'};
	unsigned dots = v->cell[row * v->columns + column], code = 0x2800;
	if (!dots && column == v->mark)
		fputs(v->is_utf8 ? "\u250a" : "!", stdout);
	else if (!dots || !v->is_utf8)
		putchar(ascii[dots & 3]);
	else {
		for (unsigned i = 0; i < 8; i++)
			code |= dots & 1U << i ? braille[i] : 0;
		printf("%c%c%c", 0xe0 | (int)(code >> 12), 0x80 | (int)(code >> 6 & 0x3f),
		       0x80 | (int)(code & 0x3f));
	}
}

static void print_rows(const struct canvas *v)
{
	for (int row = 0; row < ROWS; row++) {
		bool is_labelled = row % ((ROWS - 1) / 4) == 0;
		if (is_labelled)
			printf("%4d %% ", 100 - 100 * row / (ROWS - 1));
		else
			printf("%*s", MARGIN, "");
		fputs(!v->is_utf8 ? "|" : is_labelled ? "\u2524" : "\u2502", stdout);
		int end = v->columns;
		while (end > 0 && !v->cell[row * v->columns + end - 1] && end - 1 != v->mark)
			end--;
		for (int column = 0; column < end; column++)
			print_cell(v, row, column);
		putchar('\n');
	}
}

static void print_axis(const struct canvas *v, const struct curve *c)
{
	struct curve_ticks ticks = curve_ticks(c, v->columns / LABEL);
	char label[16];
	int at = 0;
	printf("%*s%s", MARGIN, "", v->is_utf8 ? "\u2514" : "+");
	for (int column = 0, tick = 0; column < v->columns; column++) {
		bool is_tick = tick < ticks.count &&
			       column == column_of(v, c, exp2(ticks.first + tick * ticks.step));
		tick += is_tick;
		if (v->is_utf8)
			fputs(is_tick ? "\u252c" : "\u2500", stdout);
		else
			putchar(is_tick ? '+' : '-');
	}
	printf("\n%*s", MARGIN + 1, "");
	for (int tick = 0; tick < ticks.count; tick++) {
		int power = ticks.first + tick * ticks.step;
		int column = column_of(v, c, exp2(power));
		curve_tick_label(power, label);
		/* within the axis, and a gap from the one before */
		int room = v->columns - (int)strlen(label);
		column = column > room ? room : column;
		if (column < at)
			continue;
		printf("%*s%s", column - at, "", label);
		at = column + (int)strlen(label) + 1;
		if (at < v->columns && tick + 1 < ticks.count)
			putchar(' ');
	}
	putchar('\n');
}

int plot_print(const struct curve *c, int columns)
{
	bool is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	struct canvas v = {
		.is_utf8 = is_utf8,
		.columns = columns - MARGIN - 1,
		.dots_x = is_utf8 ? 2 : 1,
		.dots_y = is_utf8 ? 4 : 2,
		.mark = -1,
	};
	double pool = (double)c->pool_bytes;
	char size[32];
	if (c->count < 2)
		return 0;
	v.cell = calloc((size_t)v.columns * ROWS, sizeof(*v.cell));
	if (!v.cell)
		return -ENOMEM;
	if (pool >= curve_least(c) && pool <= curve_most(c))
		v.mark = column_of(&v, c, pool);
	draw(&v, c);
	print_rows(&v);
	print_axis(&v, c);
	if (v.mark >= 0)
		printf("%*s%s the pool now, %s\n", MARGIN + 1, "", is_utf8 ? "\u250a" : "!",
		       units_format_size(c->pool_bytes, size, sizeof(size)));
	free(v.cell);
	return 0;
}
