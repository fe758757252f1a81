/*
 * options.c: defaults, values, escapes, the usual words, and the one line for each mistake.
 */
#include "options.h"

#include "check.h"
#include "pool/pool.h"

#include <errno.h>
#include <stdlib.h>

static char err[512];

static bool parse(struct options *o, const char *text)
{
	err[0] = '\0';
	int rc = options_parse(o, text, err, sizeof(err));
	if (rc != 0)
		printf("# '%s': %s\n", text ? text : "(null)", err);
	return rc == 0;
}

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

TEST(defaults)
{
	struct options o;

	REQUIRE(parse(&o, NULL));
	CHECK_EQ(o.path, PATH_ID_AUTO);
	CHECK_EQ(o.cache, CACHE_KERNEL);
	CHECK_EQ(o.max_io_bytes, 512 << 10);
	CHECK_EQ(o.threads, 16);
	CHECK(o.attr_timeout_s == 1.0 && o.entry_timeout_s == 1.0);
	CHECK_EQ(o.readahead_bytes, 1 << 20);
	CHECK_EQ(o.ledger_files, 65536);
	CHECK_EQ(o.pool_size_bytes, 128 << 20);
	CHECK_EQ(o.pool_page_bytes, 16 << 10);
	CHECK(o.pool_policy == evict_find("s3fifo"));
	CHECK_EQ(o.pool_write, POOL_WRITE_THROUGH);
	CHECK_EQ(o.pool_dirty_max_percent, 50);
	CHECK(o.pool_flush_interval_s == 1.0);
	CHECK_EQ(o.pool_readahead_bytes, 1 << 20);
	CHECK_EQ(o.pool_verify, POOL_VERIFY_OFF);
	CHECK(!o.list_stats && !o.is_read_only && !o.allow_other);
	CHECK_EQ(o.rules_count, 0);
	CHECK_STR(o.fuse, "");
	options_free(&o);
	options_free(&o);
}

TEST(every_option_is_stored)
{
	struct options o;

	REQUIRE(parse(&o, "path=direct,cache=none,max_io=1M,threads=256,attr_timeout=0.5,"
			  "entry_timeout=0,list_stats,readahead=64MiB,ledger_files=16777216,ro,"
			  "allow_other,rule=*.wal:copy,pool_size=1T,pool_page=64K,pool_policy=lru,pool_write=back,"
			  "pool_dirty_max=90,pool_flush_interval=0.01,pool_readahead=0,pool_verify=always"));
	CHECK_EQ(o.path, PATH_ID_direct);
	CHECK_EQ(o.cache, CACHE_NONE);
	CHECK_EQ(o.max_io_bytes, 1 << 20);
	CHECK_EQ(o.threads, 256);
	CHECK(o.attr_timeout_s == 0.5 && o.entry_timeout_s == 0.0);
	CHECK_EQ(o.readahead_bytes, 64 << 20);
	CHECK_EQ(o.ledger_files, 16777216);
	CHECK_EQ(o.pool_size_bytes, 1ULL << 40);
	CHECK_EQ(o.pool_page_bytes, 64 << 10);
	CHECK(o.pool_policy == evict_find("lru"));
	CHECK_EQ(o.pool_write, POOL_WRITE_BACK);
	CHECK_EQ(o.pool_dirty_max_percent, 90);
	CHECK(o.pool_flush_interval_s == 0.01);
	CHECK_EQ(o.pool_readahead_bytes, 0);
	CHECK_EQ(o.pool_verify, POOL_VERIFY_ALWAYS);
	CHECK(o.list_stats && o.is_read_only && o.allow_other);
	REQUIRE(o.rules_count == 1);
	CHECK_STR(o.rules[0].glob, "*.wal");
	CHECK_EQ(o.rules[0].path, PATH_ID_copy);
	CHECK_STR(o.fuse, "");
	options_free(&o);
}

TEST(the_last_of_several_counts)
{
	struct options o;

	REQUIRE(parse(&o, ",path=copy,ro,,path=splice,rw,"));
	CHECK_EQ(o.path, PATH_ID_splice);
	CHECK(!o.is_read_only);
	options_free(&o);
	REQUIRE(parse(&o, "rw,ro"));
	CHECK(o.is_read_only);
	CHECK_STR(o.fuse, "");
	options_free(&o);
}

TEST(a_pool_is_named_by_path_and_rules)
{
	static const struct {
		const char *text;
		bool is_named;
	} rows[] = {{"", false},
		    {"pool_size=1M,pool_write=back", false},
		    {"path=pool", true},
		    {"path=pool,path=copy", false},
		    {"rule=*.wal:direct,rule=*.ibd:pool", true}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct options o;
		REQUIRE(parse(&o, rows[i].text));
		CHECK_EQ(options_name_pool(&o), rows[i].is_named);
		options_free(&o);
	}
}

TEST(ghosts_are_a_list)
{
	struct options o;

	REQUIRE(parse(&o, "ro"));
	CHECK_EQ(o.pool_ghosts_count, 0);
	options_free(&o);
	REQUIRE(parse(&o, "path=pool,pool_ghosts=lru,innodb,pg,s3fifo,lru,ro"));
	REQUIRE(o.pool_ghosts_count == 4);
	CHECK(o.pool_ghosts[0] == evict_find("lru") && o.pool_ghosts[1] == evict_find("innodb"));
	CHECK(o.pool_ghosts[2] == evict_find("pg") && o.pool_ghosts[3] == evict_find("s3fifo"));
	CHECK(o.is_read_only);
	options_free(&o);
	REQUIRE(parse(&o, "pool_ghosts=lru\\,pg,arc"));
	CHECK_EQ(o.pool_ghosts_count, 3);
	options_free(&o);
	REQUIRE(parse(&o, "pool_ghosts=lru,pg,pool_ghosts=arc"));
	REQUIRE(o.pool_ghosts_count == 1);
	CHECK(o.pool_ghosts[0] == evict_find("arc"));
	options_free(&o);
}

TEST(rules_first_match_wins)
{
	struct options o;

	REQUIRE(parse(&o, "rule=db/*.wal:direct,rule=db/**:copy,rule=*.log:auto,path=splice"));
	CHECK_EQ(options_path_for(&o, "db/a.wal"), PATH_ID_direct);
	CHECK_EQ(options_path_for(&o, "db/x/a.wal"), PATH_ID_copy);
	CHECK_EQ(options_path_for(&o, "db/b.log"), PATH_ID_copy);
	CHECK_EQ(options_path_for(&o, "x/b.log"), PATH_ID_AUTO);
	CHECK_EQ(options_path_for(&o, "x/b.txt"), PATH_ID_splice);
	options_free(&o);
}

TEST(rules_escape_and_split_at_the_last_colon)
{
	struct options o;

	REQUIRE(parse(&o, "rule=a\\,b:c:copy,rule=x\\\\*y:direct,rule=\\[z:copy,rule=\"q:copy"));
	REQUIRE(o.rules_count == 4);
	CHECK_STR(o.rules[0].glob, "a,b:c");
	CHECK_STR(o.rules[1].glob, "x\\*y");
	CHECK_STR(o.rules[2].glob, "\\[z");
	CHECK_STR(o.rules[3].glob, "\"q");
	CHECK_EQ(options_path_for(&o, "a,b:c"), PATH_ID_copy);
	CHECK_EQ(options_path_for(&o, "x*y"), PATH_ID_direct);
	options_free(&o);
}

TEST(usual_words_are_passed_or_dropped)
{
	struct options o;

	REQUIRE(parse(&o, "rw,nosuid,dev,relatime,noatime,defaults,noauto,user,user=joe,users,nouser,"
			  "owner,_netdev,nofail,x-systemd.automount,x-gvfs-name=A,comment=hi,"
			  "default_permissions,auto_unmount,debug,sync,nonempty"));
	CHECK_STR(o.fuse, "nosuid,dev,noatime,auto_unmount,debug,sync");
	options_free(&o);
	REQUIRE(parse(&o, "fsname=a\\,b\\\\c,subtype=z,context=\"u:r:t:s0:c1,c2\",noexec"));
	CHECK_STR(o.fuse, "fsname=a\\,b\\\\c,subtype=z,context=\"u:r:t:s0:c1\\,c2\",noexec");
	options_free(&o);
	REQUIRE(parse(&o, "allow_root"));
	CHECK_STR(o.fuse, "allow_root");
	options_free(&o);
}

TEST(words_of_others_name_ours)
{
	check_refused("max_read=131072", "max_read=131072' is not for zcfs: use max_io=SIZE");
	check_refused("max_write=4096", "use max_io=SIZE");
	check_refused("kernel_cache", "use cache=kernel");
	check_refused("direct_io", "use cache=none");
	check_refused("fd=3", "zcfs opens /dev/fuse itself");
	check_refused("rootmode=40000", "not for zcfs");
	check_refused("remount", "zcfs umount");
	check_refused("allow_root,allow_other", "contradict");
}

TEST(near_misses_are_offered)
{
	check_refused("pth=copy", "unknown mount option 'pth=copy': did you mean 'path'?");
	check_refused("max-io=4K", "did you mean 'max_io'?");
	check_refused("allow_others", "did you mean 'allow_other'?");
	check_refused(" ro", "did you mean 'ro'?");
	check_refused("nosiud", "did you mean 'nosuid'?");
	check_refused("RO", "zcfs mount --help");
	check_refused("encrypt", "unknown mount option 'encrypt': 'zcfs mount --help'");
	check_refused("=", "unknown mount option '='");
	check_refused("a\nb\x1b", "unknown mount option 'a?b?'");
	check_refused("context=\"a,b", "a closing quote is missing");
	check_refused("pool_ghosts=lru,inodb", "unknown mount option 'inodb': did you mean 'innodb'?");
	check_refused("pool_ghosts=lru,ro,pg", "unknown mount option 'pg'");
	check_refused("lru", "unknown mount option 'lru'");
	check_refused("pool_ghosts=lur",
		      "pool_ghosts takes policies, such as lru,s3fifo, out of clock, lru, ");
	check_refused("pool_ghosts=lru\\,", "pool_ghosts takes policies");
	check_refused("pool_ghosts=", "pool_ghosts takes policies");
	check_refused("pool_ghosts", "pool_ghosts takes policies");
}

TEST(errors_fit_their_buffer)
{
	struct options o;
	char tiny[8], *longest = malloc(100001);

	REQUIRE(longest);
	memset(longest, 'x', 100000);
	longest[100000] = '\0';
	longest[2] = 'y'; /* not "x-..." */
	CHECK_EQ(options_parse(&o, longest, tiny, sizeof(tiny)), -EINVAL);
	CHECK_STR(tiny, "unknown");
	CHECK_EQ(options_parse(&o, longest, tiny, 0), -EINVAL);
	free(longest);
}

/* A new data path is one word in meson.build; this is the one reminder that help names it too. */
TEST(help_lists_the_paths)
{
	const char *metavar = NULL;
	char words[256] = "";

#define OPTION(type, field, name, meta, value, least, most, help) \
	if (strcmp(name, "path") == 0)                            \
		metavar = meta;
#include "options.def"
	for (int id = 0; id < PATH_ID_COUNT; id++) {
		size_t len = strlen(words);
		snprintf(words + len, sizeof(words) - len, "%s%s", id ? "|" : "",
			 path_id_name((enum path_id)id));
	}
	CHECK_STR(metavar, words);
}

TEST(random_text_stays_in_bounds)
{
	static const char *const pieces[] = {"rule=",
					     "path=",
					     "*",
					     "[",
					     "]",
					     ":copy",
					     ",",
					     "\\",
					     "\"",
					     "ro",
					     "context=",
					     "/",
					     "**",
					     "a",
					     "fsname=",
					     "auto",
					     "max_io=",
					     "4K",
					     "pool_ghosts=lru",
					     "pg"};
	unsigned seed = 1, n_ok = 0;

	for (int round = 0; round < 100000; round++) {
		char text[128] = "";
		struct options o;
		int count = rand_r(&seed) % 12;
		for (int i = 0; i < count; i++) {
			size_t len = strlen(text), n_pieces = sizeof(pieces) / sizeof(pieces[0]);
			snprintf(text + len, sizeof(text) - len, "%s",
				 pieces[(unsigned)rand_r(&seed) % n_pieces]);
		}
		if (options_parse(&o, text, err, sizeof(err)) == 0) {
			n_ok++;
			(void)options_path_for(&o, "a/a");
			options_free(&o);
		}
	}
	CHECK(n_ok > 1000);
}
