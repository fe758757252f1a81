/*
 * A table small enough to be searched from end to end.
 */
#include "pool/topk.h"

void topk_note(struct topk *t, uint64_t key)
{
	struct topk_entry *rarest = &t->entry[0];
	for (unsigned i = 0; i < TOPK_ENTRIES; i++) {
		struct topk_entry *e = &t->entry[i];
		if (e->key == key) {
			e->count++;
			return;
		}
		if (e->count < rarest->count)
			rarest = e;
	}
	*rarest = (struct topk_entry){.key = key, .count = rarest->count + 1, .error = rarest->count};
}

uint64_t topk_best(const struct topk *t, uint32_t *least)
{
	uint64_t best = 0;
	*least = 0;
	for (unsigned i = 0; i < TOPK_ENTRIES; i++) {
		const struct topk_entry *e = &t->entry[i];
		if (e->key && e->count - e->error > *least) {
			*least = e->count - e->error;
			best = e->key;
		}
	}
	return best;
}

void topk_drop(struct topk *t, uint64_t key)
{
	for (unsigned i = 0; i < TOPK_ENTRIES; i++)
		if (t->entry[i].key == key)
			t->entry[i] = (struct topk_entry){0};
}

void topk_halve(struct topk *t)
{
	for (unsigned i = 0; i < TOPK_ENTRIES; i++) {
		struct topk_entry *e = &t->entry[i];
		uint32_t least = (e->count - e->error) / 2;
		e->count /= 2;
		e->error = e->count - least;
	}
}
