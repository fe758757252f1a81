/* node/mode: which path, which cache, whether the cache is kept, and what is told about it. */
#include "check.h"
#include "node/mode.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#define SECOND_NS 1000000000LL
#define THREADS   4
#define ROUNDS    5000

static struct node fresh_node(void)
{
	return (struct node){.path_wanted = -1, .path_rule = -1};
}

static struct options options_of(enum path_id path, enum cache_mode cache)
{
	return (struct options){.path = path, .cache = cache};
}

static struct open_mode decide(enum path_id mount, int rule, int wanted, int open_flags)
{
	struct options opt = options_of(mount, CACHE_KERNEL);
	struct node n = fresh_node();

	n.path_rule = rule;
	n.path_wanted = wanted;
	return mode_decide(&opt, &n, open_flags);
}

static bool is_cached_path(int path)
{
	return path != PATH_ID_direct && path != PATH_ID_pool;
}

TEST(the_attribute_beats_the_rule_beats_the_mount)
{
	for (int mount = 0; mount < PATH_ID_COUNT; mount++)
		for (int rule = -1; rule < PATH_ID_COUNT; rule++)
			for (int wanted = -1; wanted < PATH_ID_COUNT; wanted++) {
				struct open_mode m = decide((enum path_id)mount, rule, wanted, O_RDONLY);
				int path = wanted >= 0 ? wanted : rule >= 0 ? rule : mount;
				CHECK_EQ(m.path, path);
				CHECK_EQ(m.reason, wanted >= 0                  ? MODE_BY_XATTR
						   : rule >= 0 && rule != mount ? MODE_BY_RULE
										: MODE_AS_MOUNTED);
				CHECK_EQ(m.is_cached, is_cached_path(path));
				CHECK(!m.keep_cache);
			}
}

TEST(o_direct_and_cache_none_are_not_cached)
{
	static const int flags[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_APPEND | O_SYNC};
	struct node n = fresh_node();

	for (int path = 0; path < PATH_ID_COUNT; path++)
		for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
			struct options kernel = options_of((enum path_id)path, CACHE_KERNEL);
			struct options none = options_of((enum path_id)path, CACHE_NONE);
			CHECK_EQ(mode_decide(&kernel, &n, flags[i]).is_cached, is_cached_path(path));
			CHECK(!mode_decide(&kernel, &n, flags[i] | O_DIRECT).is_cached);
			CHECK(!mode_decide(&none, &n, flags[i]).is_cached);
			CHECK(!mode_decide(&none, &n, flags[i] | O_DIRECT).is_cached);
			/* The path stays: what O_DIRECT makes of auto is decided by request. */
			CHECK_EQ(mode_decide(&kernel, &n, flags[i] | O_DIRECT).path, path);
		}
}

static struct statx_timestamp at(int64_t t_ns)
{
	return (struct statx_timestamp){.tv_sec = t_ns / SECOND_NS,
					.tv_nsec = (uint32_t)(t_ns % SECOND_NS)};
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * SECOND_NS + ts.tv_nsec;
}

/* A file whose content and attributes changed so long ago. */
static struct statx changed_before(int64_t age_ns)
{
	struct statx stx = {.stx_size = 10000};

	stx.stx_mtime = stx.stx_ctime = at(now_ns() - age_ns);
	return stx;
}

/* Opens, and says whether the cache was kept. The open stays. */
static bool is_kept(struct node *n, bool is_cached, const struct statx *stx)
{
	struct handle h = {.node = n, .is_cached = is_cached};
	struct open_mode m = {.is_cached = is_cached};

	mode_opened(n, &h, stx, &m);
	return m.keep_cache;
}

TEST(an_unchanged_file_keeps_its_cache)
{
	struct node n = fresh_node();
	struct statx stx = changed_before(SECOND_NS);

	CHECK(!is_kept(&n, true, &stx)); /* the first: nothing known */
	CHECK(is_kept(&n, true, &stx));
	CHECK(is_kept(&n, true, &stx));
}

TEST(another_mtime_ctime_or_size_drops_it)
{
	for (int change = 0; change < 5; change++) {
		struct node n = fresh_node();
		struct statx stx = changed_before(10 * SECOND_NS);
		struct statx other = stx;
		if (change == 0)
			other.stx_mtime = at(now_ns() - 9 * SECOND_NS);
		else if (change == 1)
			other.stx_ctime = at(now_ns() - 9 * SECOND_NS);
		else if (change == 2)
			other.stx_size++;
		else if (change == 3)
			other.stx_mtime.tv_nsec = (other.stx_mtime.tv_nsec + 1) % SECOND_NS;
		else
			other.stx_ctime.tv_nsec = (other.stx_ctime.tv_nsec + 1) % SECOND_NS;
		CHECK(!is_kept(&n, true, &stx));
		CHECK(is_kept(&n, true, &stx));
		CHECK(!is_kept(&n, true, &other));
		CHECK(is_kept(&n, true, &other));
		CHECK(!is_kept(&n, true, &stx)); /* back again is a change as well */
	}
}

/* mtime and ctime do not stand for one another. */
TEST(exchanged_times_are_a_change)
{
	struct node n = fresh_node();
	struct statx stx = changed_before(10 * SECOND_NS);

	stx.stx_ctime = at(now_ns() - 5 * SECOND_NS);
	struct statx other = stx;
	other.stx_mtime = stx.stx_ctime;
	other.stx_ctime = stx.stx_mtime;
	CHECK(!is_kept(&n, true, &stx));
	CHECK(!is_kept(&n, true, &other));
}

/* Two changes within a tick have one timestamp: until it is past, equal times prove nothing. */
TEST(fresh_times_are_not_trusted)
{
	struct node n = fresh_node();

	for (int which = 0; which < 3; which++) {
		struct statx fresh = changed_before(10 * SECOND_NS);
		struct statx old = fresh;
		if (which != 1)
			fresh.stx_mtime = at(now_ns());
		if (which != 0)
			fresh.stx_ctime = at(now_ns());
		CHECK(!is_kept(&n, true, &fresh));
		CHECK(!is_kept(&n, true, &fresh));
		CHECK(!is_kept(&n, true, &old)); /* what was known before is forgotten */
		CHECK(is_kept(&n, true, &old));
	}
}

TEST(times_to_come_are_not_trusted)
{
	struct node n = fresh_node();
	struct statx stx = changed_before(-100 * SECOND_NS);

	CHECK(!is_kept(&n, true, &stx));
	CHECK(!is_kept(&n, true, &stx));
}

TEST(times_before_1970_are_times)
{
	struct node n = fresh_node();
	struct statx stx = changed_before(10 * SECOND_NS);

	stx.stx_mtime = (struct statx_timestamp){.tv_sec = -5, .tv_nsec = 7};
	CHECK(!is_kept(&n, true, &stx));
	CHECK(is_kept(&n, true, &stx));
}

/* They find the same cache, and the same changes underneath, as any other. */
TEST(opens_past_the_cache_leave_it_as_it_is)
{
	struct node n = fresh_node();
	struct statx stx = changed_before(SECOND_NS), other = changed_before(2 * SECOND_NS);

	CHECK(!is_kept(&n, false, &stx));
	CHECK(is_kept(&n, true, &stx));
	CHECK(is_kept(&n, false, &stx));
	CHECK(!is_kept(&n, false, &other)); /* changed underneath */
	CHECK(is_kept(&n, true, &other));
	CHECK(!is_kept(&n, true, &stx));
}

TEST(without_attributes_nothing_is_kept)
{
	struct node n = fresh_node();
	struct statx stx = changed_before(SECOND_NS);

	CHECK(!is_kept(&n, true, &stx));
	CHECK(!is_kept(&n, true, NULL));
	CHECK(!is_kept(&n, false, NULL));
}

TEST(live_opens_are_counted_by_kind)
{
	struct node n = fresh_node();
	struct handle cached = {.node = &n, .is_cached = true}, direct = {.node = &n};

	CHECK(!mode_has_cached_opens(&n));
	CHECK(!is_kept(&n, false, NULL));
	CHECK(!mode_has_cached_opens(&n));
	CHECK(!is_kept(&n, true, NULL) && !is_kept(&n, true, NULL));
	CHECK(mode_has_cached_opens(&n));
	mode_closed(&n, &cached);
	CHECK(mode_has_cached_opens(&n));
	mode_closed(&n, &direct);
	CHECK(mode_has_cached_opens(&n));
	mode_closed(&n, &cached);
	CHECK(!mode_has_cached_opens(&n));
	CHECK_EQ(n.opens_cached, 0);
	CHECK_EQ(n.opens_direct, 0);
}

TEST(dropped_pages_are_dropped_again_by_writes_for_a_while)
{
	struct node n = fresh_node();
	struct statx stx = changed_before(SECOND_NS), later = changed_before(SECOND_NS / 2);
	struct handle cached = {.node = &n, .is_cached = true};

	mode_told(&n, &stx);
	mode_told(&n, &later);
	mode_shake(&n);
	CHECK(!mode_is_shaken(&n)); /* nobody writes through the cache */
	CHECK(!is_kept(&n, true, &stx));
	CHECK(!mode_is_shaken(&n));
	mode_told(&n, &later); /* told before */
	CHECK(!mode_is_shaken(&n));
	mode_told(&n, &stx);
	CHECK(mode_is_shaken(&n));
	n.shaken_until_ns = 1; /* long ago */
	CHECK(!mode_is_shaken(&n));
	mode_closed(&n, &cached);
	CHECK(!is_kept(&n, true, NULL));
	CHECK(!is_kept(&n, true, NULL)); /* beside the first, not keeping its pages */
	CHECK(mode_is_shaken(&n));
}

/* The description after an open of that kind. */
static const char *described(struct node *n, int open_flags, struct open_mode m, const struct statx *stx)
{
	static char text[256];
	struct handle h = {.node = n, .is_cached = m.is_cached, .open_flags = open_flags};

	mode_opened(n, &h, stx, &m);
	mode_describe(n, text, sizeof(text));
	return text;
}

TEST(the_last_open_is_described)
{
	struct node n = fresh_node();
	struct statx stx = changed_before(SECOND_NS);
	struct open_mode cached = {.path = PATH_ID_AUTO, .is_cached = true};
	struct open_mode direct = {.path = PATH_ID_AUTO};
	struct open_mode ruled = {.path = PATH_ID_copy, .is_cached = true, .reason = MODE_BY_RULE};
	struct open_mode wished = {.path = PATH_ID_direct, .reason = MODE_BY_XATTR};
	struct open_mode refused = {.path = PATH_ID_splice, .is_cached = true, .reason = MODE_NO_DIO};
	char text[256] = "";

	mode_describe(&n, text, sizeof(text));
	CHECK_STR(text, "never opened");
	CHECK_STR(described(&n, O_RDONLY, cached, &stx),
		  "live: 1 cached, 0 direct_io; last: requested=O_RDONLY path=auto (splice) "
		  "kernel_cache=fresh");
	CHECK_STR(described(&n, O_RDWR | O_APPEND, cached, &stx),
		  "live: 2 cached, 0 direct_io; last: requested=O_RDWR path=auto (splice) "
		  "kernel_cache=kept");
	CHECK_STR(described(&n, O_WRONLY | O_DIRECT, direct, NULL),
		  "live: 2 cached, 1 direct_io; last: requested=O_WRONLY|O_DIRECT path=auto (direct) "
		  "kernel_cache=none");
	CHECK_STR(described(&n, O_RDWR, ruled, &stx),
		  "live: 3 cached, 1 direct_io; last: requested=O_RDWR path=copy kernel_cache=kept "
		  "reason=a rule= of the mount");
	CHECK_STR(described(&n, O_RDWR, wished, &stx),
		  "live: 3 cached, 2 direct_io; last: requested=O_RDWR path=direct kernel_cache=none "
		  "reason=user.zcfs.path was set");
	CHECK_STR(described(&n, O_ACCMODE, refused, NULL),
		  "live: 4 cached, 2 direct_io; last: requested=O_ACCMODE path=splice "
		  "kernel_cache=fresh reason=the backing filesystem refuses O_DIRECT on this file");
	struct handle h = {.node = &n, .is_cached = true};
	mode_closed(&n, &h);
	mode_describe(&n, text, sizeof(text));
	CHECK(strncmp(text, "live: 3 cached, 2 direct_io; last: requested=O_ACCMODE ", 55) == 0);
}

TEST(a_short_buffer_is_respected)
{
	struct node n = fresh_node();
	char text[20];

	for (size_t len = 1; len < sizeof(text); len++) {
		memset(text, '#', sizeof(text));
		mode_describe(&n, text, len);
		CHECK_EQ(strlen(text), len - 1 < 12 ? len - 1 : 12);
		for (size_t i = len; i < sizeof(text); i++)
			CHECK_EQ(text[i], '#');
	}
}

static void *open_and_close(void *node)
{
	struct node *n = node;
	struct statx stx = changed_before(SECOND_NS);
	char text[256];

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct open_mode m = {.path = PATH_ID_AUTO, .is_cached = i % 2};
		struct handle h = {.node = n, .is_cached = m.is_cached, .open_flags = O_RDWR};
		mode_opened(n, &h, &stx, &m);
		CHECK(!m.is_cached || mode_has_cached_opens(n));
		mode_describe(n, text, sizeof(text));
		CHECK(strncmp(text, "live: ", 6) == 0);
		mode_closed(n, &h);
	}
	return NULL;
}

TEST(threads_leave_no_opens)
{
	struct node n = fresh_node();
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, open_and_close, &n), 0);
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	CHECK_EQ(n.opens_cached + n.opens_direct, 0);
	CHECK(!mode_has_cached_opens(&n));
}
