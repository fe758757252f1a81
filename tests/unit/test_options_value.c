/*
 * options_value.c: the values of each type that are taken, and the one line for each that is not.
 */
#include "options_value.h"

#include "check.h"
#include "pool/evict.h"

#include <errno.h>
#include <stdlib.h>

static char err[512];

/* `text` must be refused, with one line that holds `part`, and leave nothing behind. */
static void check_refused(const char *text, const char *part)
{
	struct options o;

	memset(&o, 0xaa, sizeof(o));
	err[0] = '\0';
	CHECK_EQ(options_parse(&o, text, err, sizeof(err)), -EINVAL);
	if (!strstr(err, part))
		printf("# '%s' gave '%s', which lacks '%s'\n", text, err, part);
	CHECK(strstr(err, part) != NULL);
	CHECK(strchr(err, '\n') == NULL);
	CHECK(!o.rules && !o.fuse && o.rules_count == 0);
}

static bool takes(struct options *o, const char *text)
{
	return options_parse(o, text, err, sizeof(err)) == 0;
}

TEST(bad_values_say_what_is_taken)
{
	check_refused("path=zero", "path takes auto, splice, copy, direct or pool");
	check_refused("path", "bad mount option 'path': path takes auto");
	check_refused("path=", "path takes auto");
	check_refused("cache=always", "cache takes kernel or none");
	check_refused("max_io=2M", "max_io takes a size from 4K to 1M, a multiple of 4K");
	check_refused("max_io=5000", "a multiple of 4K");
	check_refused("max_io=0", "from 4K");
	check_refused("max_io=1.5M", "takes a size");
	check_refused("max_io=99999999999999999999", "takes a size");
	check_refused("readahead=65M", "readahead takes a size from 0 to 64M");
	check_refused("threads=0", "threads takes a whole number from 1 to 256");
	check_refused("threads=257", "from 1 to 256");
	check_refused("threads=4294967297", "from 1 to 256");
	check_refused("ledger_files=0", "from 1 to 16777216");
	check_refused("attr_timeout=-1", "attr_timeout takes seconds from 0");
	check_refused("entry_timeout=1e3", "entry_timeout takes seconds");
	check_refused("pool_size=63K", "pool_size takes a size from 64K to 16T");
	check_refused("pool_page=2K", "pool_page takes a power of two from 4K to 64K");
	check_refused("pool_page=12K", "a power of two");
	check_refused("pool_page=128K", "a power of two");
	check_refused("pool_policy=", "pool_policy takes clock, lru, ");
	check_refused("pool_policy=fifo", " or ");
	check_refused("pool_write=behind", "pool_write takes through or back");
	check_refused("pool_write=through|back", "pool_write takes through or back");
	check_refused("pool_write=bac", "pool_write takes through or back");
	check_refused("pool_dirty_max=0", "from 1 to 90");
	check_refused("pool_dirty_max=91", "from 1 to 90");
	check_refused("pool_flush_interval=0", "pool_flush_interval takes seconds from 0.01 to 3600");
	check_refused("pool_readahead=17M", "from 0 to 16M");
	check_refused("pool_verify=on", "pool_verify takes off, evict or always");
	check_refused("list_stats=1", "list_stats takes no value");
	check_refused("ro=", "ro takes no value");
	check_refused("nosuid=1", "nosuid takes no value");
	check_refused("fsname", "fsname takes a value");
}

TEST(bad_rules_say_why)
{
	check_refused("rule=*.wal", "rule takes GLOB:PATH, such as *.wal:direct");
	check_refused("rule=*.wal:fast", "PATH being auto, splice, copy, direct or pool");
	check_refused("rule=:copy", "the glob is empty");
	check_refused("rule=[ab:copy", "the glob has a '[' without its ']'");
	check_refused("rule=a/:copy", "the glob has an empty component");
	check_refused("rule=ok:copy,rule=ok2:copy,rule=", "rule takes GLOB:PATH");
}

/* What help and messages spell out are the words of meson's lists, each taken for what it is. */
TEST(every_word_is_taken)
{
	char text[64];
	struct options o;
	size_t n_policies = 0;

	for (int id = 0; id < PATH_ID_COUNT; id++) {
		snprintf(text, sizeof(text), "path=%s", path_id_name((enum path_id)id));
		REQUIRE(takes(&o, text));
		CHECK_EQ(o.path, id);
		options_free(&o);
	}
	for (const struct evict_ops *ops; (ops = evict_at(n_policies)); n_policies++) {
		snprintf(text, sizeof(text), "pool_policy=%s", ops->name);
		REQUIRE(takes(&o, text));
		CHECK(o.pool_policy == ops);
		options_free(&o);
		CHECK_EQ(options_parse(&o, "pool_policy=none", err, sizeof(err)), -EINVAL);
		CHECK(strstr(err, ops->name));
	}
	CHECK(n_policies > 1);
	CHECK_EQ(options_parse(&o, "pool_policy=none", err, sizeof(err)), -EINVAL);
	size_t n_named = 2;
	for (const char *s = strchr(err, ','); s; s = strchr(s + 1, ','))
		n_named++;
	CHECK_EQ(n_named, n_policies);
}

TEST(numbers_fit_their_fields)
{
	struct options o;

	memset(&o, 0xaa, sizeof(o));
	REQUIRE(takes(&o, "threads=3,ledger_files=4,pool_page=4K,pool_verify=evict,cache=none"));
	CHECK_EQ(o.threads, 3);
	CHECK_EQ(o.ledger_files, 4);
	CHECK_EQ(o.pool_page_bytes, 4096);
	CHECK_EQ(o.pool_verify, 1);
	CHECK_EQ(o.cache, CACHE_NONE);
	options_free(&o);
}
