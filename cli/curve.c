/*
 * Reads the JSON of user.zcfs.mrc strictly: what is drawn from it must not depend on what the daemon might send.
 */
#include "curve.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "json.h"

struct reader {
	struct curve *c;
	bool is_bad;
};

/* One "[bytes, ratio]". */
static void take_point(const char *key, size_t key_len, const char *value, void *ctx)
{
	struct reader *r = ctx;
	struct curve *c = r->c;
	char *end = NULL;
	(void)key_len;
	if (key || *value != '[' || c->count == CURVE_POINTS_MAX) {
		r->is_bad = true;
		return;
	}
	struct curve_point p = {.bytes = strtod(value + 1, &end)};
	if (*end == ',')
		p.hit_ratio = strtod(end + 1, &end);
	bool is_larger = c->count == 0 || p.bytes > c->point[c->count - 1].bytes;
	if (*end != ']' || !is_larger || !(p.bytes >= 1) || !(p.bytes < 0x1p63) ||
	    !(p.hit_ratio >= 0) || !(p.hit_ratio <= 1)) {
		r->is_bad = true;
		return;
	}
	c->point[c->count++] = p;
}

static bool is_key(const char *key, size_t key_len, const char *name)
{
	return strlen(name) == key_len && memcmp(key, name, key_len) == 0;
}

static void take_member(const char *key, size_t key_len, const char *value, void *ctx)
{
	struct reader *r = ctx;
	struct curve *c = r->c;
	if (is_key(key, key_len, "page_bytes"))
		c->page_bytes = strtoull(value, NULL, 10);
	else if (is_key(key, key_len, "references"))
		c->references = strtoull(value, NULL, 10);
	else if (is_key(key, key_len, "distinct_bytes"))
		c->distinct_bytes = strtoull(value, NULL, 10);
	else if (is_key(key, key_len, "pool_bytes"))
		c->pool_bytes = strtoull(value, NULL, 10); /* null: 0 */
	else if (is_key(key, key_len, "rate"))
		c->rate = strtod(value, NULL);
	else if (is_key(key, key_len, "points") && !json_each_inside(value, take_point, r))
		r->is_bad = true;
}

int curve_parse(const char *json, struct curve *out)
{
	struct reader r = {.c = out};
	*out = (struct curve){0};
	bool is_good = json_each_member(json, take_member, &r) && !r.is_bad && out->count > 0 &&
		       out->page_bytes > 0 && out->rate > 0 && out->rate <= 1;
	return is_good ? 0 : -EPROTO;
}

double curve_at(const struct curve *c, double bytes)
{
	if (bytes < curve_least(c))
		return 0;
	size_t i = 0;
	while (i + 1 < c->count && c->point[i + 1].bytes <= bytes)
		i++;
	const struct curve_point *a = &c->point[i], *b = a + 1;
	if (i + 1 == c->count)
		return a->hit_ratio;
	double part = log2(bytes / a->bytes) / log2(b->bytes / a->bytes);
	return a->hit_ratio + part * (b->hit_ratio - a->hit_ratio);
}

struct curve_ticks curve_ticks(const struct curve *c, int count)
{
	int least = (int)ceil(log2(curve_least(c)) - 1e-9);
	int most = (int)floor(log2(curve_most(c)) + 1e-9);
	struct curve_ticks t = {.first = least, .step = 1};
	if (most < least || count < 1)
		return t;
	while ((most - least) / t.step + 1 > count)
		t.step++;
	t.count = (most - least) / t.step + 1;
	return t;
}

char *curve_tick_label(int power, char buf[16])
{
	static const char units[] = {'\0', 'K', 'M', 'G', 'T', 'P', 'E'};
	snprintf(buf, 16, "%d%c", 1 << power % 10, units[power / 10 % 7]);
	return buf;
}
