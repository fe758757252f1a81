/*
 * Owns the comparison of names behind "did you mean": the whole table of distances on the stack,
 * as names are short and this runs once, on the way out with an error. Pure; any thread.
 */
#include "base/suggest.h"

#include <assert.h>
#include <sys/param.h>

unsigned suggest_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned d[SUGGEST_LEN_MAX + 1][SUGGEST_LEN_MAX + 1];

	assert(a_len <= SUGGEST_LEN_MAX && b_len <= SUGGEST_LEN_MAX);
	for (size_t i = 0; i <= a_len; i++)
		d[i][0] = (unsigned)i;
	for (size_t j = 0; j <= b_len; j++)
		d[0][j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		for (size_t j = 1; j <= b_len; j++) {
			unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			best = MIN(best, MIN(d[i - 1][j], d[i][j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = MIN(best, d[i - 2][j - 2] + 1);
			d[i][j] = best;
		}
	}
	return d[a_len][b_len];
}

struct suggestion suggest_start(const char *typed, size_t typed_len)
{
	return (struct suggestion){
		.typed = typed,
		.typed_len = typed_len,
		.limit = typed_len < 3   ? 1
			 : typed_len < 6 ? 2
					 : 3,
	};
}

void suggest_offer(struct suggestion *s, const char *name, size_t name_len)
{
	if (s->typed_len > SUGGEST_LEN_MAX || name_len > SUGGEST_LEN_MAX)
		return;
	unsigned distance = suggest_distance(s->typed, s->typed_len, name, name_len);
	if (distance < s->limit) {
		s->limit = distance;
		s->nearest = name;
	}
}
