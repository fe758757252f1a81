/*
 * The list of opens: what is removed is not closed by it, what is left is, once.
 */
#include "node/opens.h"

#include <stddef.h>

#include "check.h"

struct thing {
	int n_closed;
	struct open_link link;
};

static void thing_close(struct open_link *link)
{
	((struct thing *)(void *)((char *)link - offsetof(struct thing, link)))->n_closed++;
}

TEST(only_what_is_left_is_closed)
{
	struct opens o;
	struct thing a = {0}, b = {0}, c = {0};

	opens_init(&o);
	opens_add(&o, &a.link, thing_close);
	opens_add(&o, &b.link, thing_close);
	opens_add(&o, &c.link, thing_close);
	opens_remove(&o, &b.link);
	opens_fini(&o);
	CHECK_EQ(a.n_closed, 1);
	CHECK_EQ(b.n_closed, 0);
	CHECK_EQ(c.n_closed, 1);
}

TEST(an_empty_list_closes_nothing)
{
	struct opens o;
	struct thing a = {0};

	opens_init(&o);
	opens_add(&o, &a.link, thing_close);
	opens_remove(&o, &a.link);
	opens_fini(&o);
	CHECK_EQ(a.n_closed, 0);
}
