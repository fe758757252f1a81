/*
 * The picture: a frame, ticks of pool sizes (logarithmic) and of hit ratios, the curve, the pool's size now.
 */
#include "svg.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/units.h"
#include "json.h"

/* Of the whole picture, and of the frame in it. */
#define WIDTH  840
#define HEIGHT 480
#define LEFT   72.0
#define RIGHT  812.0
#define TOP    64.0
#define BOTTOM 400.0

#define TITLE_CODES 60 /* the longest title in code points; the beginning is left out */

/* Text of XML 1.0: what it cannot hold becomes U+FFFD. */
static void write_text(FILE *out, const char *s)
{
	unsigned code;
	for (size_t len = strlen(s), n; len > 0; s += n, len -= n) {
		n = json_utf8_decode(s, len, &code);
		bool is_valid = n > 0 && (code >= 0x20 || code == '\t' || code == '\n') &&
				code != 0xfffe && code != 0xffff;
		if (!is_valid)
			fputs("\xef\xbf\xbd", out);
		else if (code == '&')
			fputs("&amp;", out);
		else if (code == '<')
			fputs("&lt;", out);
		else if (code == '>')
			fputs("&gt;", out);
		else
			fwrite(s, 1, n, out);
		n = n ? n : 1;
	}
}

/* The end of a name, as long as a title may be; false: it is the whole. */
static bool is_too_long(const char **name)
{
	const char *s = *name + strlen(*name);
	for (int codes = 0; s > *name && codes < TITLE_CODES; codes++)
		do
			s--;
		while (s > *name && (*s & 0xc0) == 0x80);
	bool is_cut = s > *name;
	*name = s;
	return is_cut;
}

static double x_of(const struct curve *c, double bytes)
{
	double span = log2(curve_most(c) / curve_least(c));
	return span > 0 ? LEFT + log2(bytes / curve_least(c)) / span * (RIGHT - LEFT) : LEFT;
}

static double y_of(double hit_ratio)
{
	return BOTTOM - hit_ratio * (BOTTOM - TOP);
}

static void write_head(FILE *out, const char *name)
{
	fprintf(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
		"role=\"img\">\n<title>Miss-ratio curve of ",
		WIDTH, HEIGHT, WIDTH, HEIGHT);
	write_text(out, name);
	fputs("</title>\n"
	      "<style>\n"
	      "svg { color-scheme: light dark; }\n"
	      ".page { fill: #ffffff; }\n"
	      ".grid { stroke: #d5d9de; stroke-width: 1; }\n"
	      ".frame { stroke: #5b6470; stroke-width: 1; fill: none; }\n"
	      ".curve { stroke: #0b66c3; stroke-width: 2.5; fill: none; stroke-linejoin: round; }\n"
	      ".pool { stroke: #b3410e; stroke-width: 1.5; stroke-dasharray: 5 4; }\n"
	      "text { fill: #1f2328; font: 14px system-ui, sans-serif; }\n"
	      ".title { font-size: 17px; font-weight: 600; }\n"
	      ".small { fill: #5b6470; font-size: 12px; }\n"
	      ".mark { fill: #b3410e; font-size: 12px; }\n"
	      "@media (prefers-color-scheme: dark) {\n"
	      ".page { fill: #14171a; }\n"
	      ".grid { stroke: #343a41; }\n"
	      ".frame { stroke: #9aa4af; }\n"
	      ".curve { stroke: #62b0ff; }\n"
	      ".pool { stroke: #ff9f6b; }\n"
	      "text { fill: #e6e9ec; }\n"
	      ".small { fill: #9aa4af; }\n"
	      ".mark { fill: #ff9f6b; }\n"
	      "}\n"
	      "</style>\n",
	      out);
	fprintf(out, "<rect class=\"page\" width=\"%d\" height=\"%d\"/>\n", WIDTH, HEIGHT);
	const char *end = name;
	bool is_cut = is_too_long(&end);
	fprintf(out, "<text class=\"title\" x=\"%.0f\" y=\"36\">Miss-ratio curve of %s", LEFT,
		is_cut ? "\u2026" : "");
	write_text(out, end);
	fputs("</text>\n", out);
}

static void write_axes(FILE *out, const struct curve *c)
{
	struct curve_ticks ticks = curve_ticks(c, 12);
	char label[16];
	for (int percent = 0; percent <= 100; percent += 20) {
		double y = y_of(percent / 100.0);
		fprintf(out,
			"<line class=\"grid\" x1=\"%.0f\" y1=\"%.1f\" x2=\"%.0f\" y2=\"%.1f\"/>\n"
			"<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%d</text>\n",
			LEFT, y, RIGHT, y, LEFT - 8, y + 5, percent);
	}
	for (int i = 0; i < ticks.count; i++) {
		int power = ticks.first + i * ticks.step;
		double x = x_of(c, exp2(power));
		fprintf(out,
			"<line class=\"grid\" x1=\"%.1f\" y1=\"%.0f\" x2=\"%.1f\" y2=\"%.0f\"/>\n"
			"<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%s</text>\n",
			x, TOP, x, BOTTOM, x, BOTTOM + 20, curve_tick_label(power, label));
	}
	fprintf(out,
		"<rect class=\"frame\" x=\"%.0f\" y=\"%.0f\" width=\"%.0f\" height=\"%.0f\"/>\n"
		"<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\">size of an LRU pool (bytes, logarithmic)</text>\n"
		"<text transform=\"translate(22 %.0f) rotate(-90)\" text-anchor=\"middle\">hits (%% of references)"
		"</text>\n",
		LEFT, TOP, RIGHT - LEFT, BOTTOM - TOP, (LEFT + RIGHT) / 2, BOTTOM + 44,
		(TOP + BOTTOM) / 2);
}

static void write_pool(FILE *out, const struct curve *c)
{
	char size[32];
	double pool = (double)c->pool_bytes;
	if (pool < curve_least(c) || pool > curve_most(c))
		return;
	double x = x_of(c, pool);
	bool is_right = x > (LEFT + RIGHT) / 2;
	fprintf(out,
		"<line class=\"pool\" x1=\"%.1f\" y1=\"%.0f\" x2=\"%.1f\" y2=\"%.0f\"/>\n"
		"<text class=\"mark\" x=\"%.1f\" y=\"%.0f\" text-anchor=\"%s\">pool now: %s, %.1f %%</text>\n",
		x, TOP, x, BOTTOM, is_right ? x - 6 : x + 6, BOTTOM - 8, is_right ? "end" : "start",
		units_format_size(c->pool_bytes, size, sizeof(size)), 100 * curve_at(c, pool));
}

void svg_write(FILE *out, const struct curve *c, const char *name)
{
	char page[32], distinct[32];
	write_head(out, name);
	write_axes(out, c);
	write_pool(out, c);
	fputs("<polyline class=\"curve\" points=\"", out);
	for (size_t i = 0; i < c->count; i++)
		fprintf(out, "%s%.1f,%.1f", i ? " " : "", x_of(c, c->point[i].bytes),
			y_of(c->point[i].hit_ratio));
	fputs("\"/>\n", out);
	fprintf(out,
		"<text class=\"small\" x=\"%.0f\" y=\"%.0f\">%" PRIu64
		" references to %s of pages of %s; estimated by SHARDS from %.3g %% of them</text>\n</svg>\n",
		LEFT, BOTTOM + 68, c->references,
		units_format_size(c->distinct_bytes, distinct, sizeof(distinct)),
		units_format_size(c->page_bytes, page, sizeof(page)), 100 * c->rate);
}
