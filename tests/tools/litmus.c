/*
 * litmus TEST CHANGE SEE ARGUMENT...: one file by two names, changed through CHANGE and seen through SEE, which are the same
 * or lie in two directories that show one inode. Status 1, and a line that says what was seen, if that could not be.
 *
 *   visible CHANGE SEE ROUNDS live|reopen [unmapped]
 *       one change after the other, buffered, O_DIRECT, mapped (and written out) or by io_submit, each seen at once
 *       buffered, O_DIRECT and (without `unmapped`) mapped; with `reopen` at the next open
 *   holes CHANGE SEE SECONDS [loose]
 *       regions are punched and filled again while others read them, who see old data or zeros, nothing else, and
 *       (without `loose`) of a region that is at rest exactly what it holds
 *   faults CHANGE SEE SECONDS [stores]
 *       O_DIRECT writes of rising numbers, by pwrite and io_submit in turn, while another faults the pages in, who sees
 *       nothing older than the last write that was complete; with `stores` a third stores into pages of its own in
 *       between, of which nothing is lost
 */
#include <pthread.h>
#include <stdatomic.h>

#include "views.h"

static const char *change_path, *see_path;
static atomic_bool is_over;

/* --- visible --- */

/* The range of the file in each of the ways. */
static int see_range(const struct view *v, enum way changed_by, unsigned ways,
		     const unsigned char *model, size_t from, size_t end)
{
	unsigned char *mem = aligned_memory(FILE_BYTES);
	int rc = 0;
	for (unsigned way = 0; way < ways && rc == 0; way++) {
		get(v, (enum way)way, mem, end - from, (off_t)from);
		size_t at = from;
		while (at < end && mem[at - from] == model[at])
			at++;
		if (at < end) {
			fprintf(stderr, "changed %s, seen %s: byte %zu is %02x, not %02x\n",
				way_names[changed_by], way_names[way], at, mem[at - from], model[at]);
			rc = 1;
		}
	}
	free(mem);
	return rc;
}

/* One change somewhere, noted in the model; what is looked at afterwards is a page more at either side, now and then all. */
static enum way change_once(const struct view *v, unsigned long i, unsigned char *model,
			    size_t *from, size_t *end)
{
	enum way way = (enum way)(i % 4);
	size_t off = dice() % (FILE_BYTES - PAGE_BYTES), len = 1 + dice() % 200000;
	if (way == DIRECT || way == SUBMITTED) {
		off -= off % PAGE_BYTES;
		len += PAGE_BYTES - len % PAGE_BYTES;
	}
	len = len < FILE_BYTES - off ? len : FILE_BYTES - off;
	unsigned char *mem = aligned_memory(len);
	pattern_fill(mem, len, off, i);
	memcpy(model + off, mem, len);
	put(v, way, mem, len, (off_t)off);
	free(mem);
	*from = off < 2UL * PAGE_BYTES || i % 16 == 0 ? 0 : (off / PAGE_BYTES - 1) * PAGE_BYTES;
	*end = ((off + len) / PAGE_BYTES + 2) * PAGE_BYTES;
	if (i % 16 == 0 || *end > FILE_BYTES)
		*end = FILE_BYTES;
	return way;
}

static int test_visible(char **arg)
{
	unsigned long rounds = strtoul(arg[0], NULL, 10);
	bool is_reopening = arg[1] && strcmp(arg[1], "reopen") == 0;
	bool is_mapped = !arg[1] || !arg[2];
	unsigned char *model = aligned_memory(FILE_BYTES);
	struct view change, see;
	int rc = 0;

	view_open(&change, change_path, false);
	pattern_fill(model, FILE_BYTES, 0, 1000);
	put(&change, BUFFERED, model, FILE_BYTES, 0);
	view_close(&change);
	view_open(&change, change_path, true);
	view_open(&see, see_path, is_mapped);
	for (unsigned long i = 1; i <= rounds && rc == 0; i++) {
		size_t from, end;
		enum way way = change_once(&change, i, model, &from, &end);
		if (is_reopening) {
			view_close(&see);
			view_open(&see, see_path, is_mapped);
		}
		rc = see_range(&see, way, is_mapped ? 3 : 2, model, from, end);
	}
	free(model);
	return rc;
}

/* --- holes --- */

#define REGIONS      16U
#define REGION_BYTES (FILE_BYTES / REGIONS)

/* 4n: filled, 4n+1: being punched, 4n+2: a hole, 4n+3: being filled. */
static _Atomic unsigned phase[REGIONS];
static _Atomic unsigned long seen, wrong;
static bool is_loose;

static void check_region(const struct view *v, enum way way, unsigned r, unsigned char *mem)
{
	off_t off = (off_t)r * REGION_BYTES;
	unsigned before = atomic_load(&phase[r]);
	get(v, way, mem, REGION_BYTES, off);
	bool is_at_rest = !is_loose && before % 2 == 0 && atomic_load(&phase[r]) == before;
	for (size_t i = 0; i < REGION_BYTES; i++) {
		unsigned char filled = pattern_byte((uint64_t)off + i, 1);
		bool is_right = is_at_rest ? mem[i] == (before % 4 == 0 ? filled : 0)
					   : mem[i] == 0 || mem[i] == filled;
		if (!is_right && atomic_fetch_add(&wrong, 1) == 0)
			fprintf(stderr, "%s, phase %u%s: byte %zu of region %u is %02x, filled %02x\n",
				way_names[way], before % 4, is_at_rest ? " at rest" : "", i, r,
				mem[i], filled);
	}
	atomic_fetch_add(&seen, 1);
}

static void *look_at_regions(void *arg)
{
	bool is_mapped = arg != NULL;
	unsigned char *mem = aligned_memory(REGION_BYTES);
	struct view v;
	view_open(&v, see_path, is_mapped);
	for (unsigned i = 0; !atomic_load(&is_over); i++)
		check_region(&v,
			     is_mapped ? MAPPED
			     : i % 2   ? DIRECT
				       : BUFFERED,
			     dice() % REGIONS, mem);
	view_close(&v);
	free(mem);
	return NULL;
}

static void fill_and_punch(const struct view *v, long end_ms)
{
	unsigned char *mem = aligned_memory(REGION_BYTES);
	for (unsigned i = 0; is_before(end_ms); i++) {
		unsigned r = dice() % REGIONS;
		off_t off = (off_t)r * REGION_BYTES;
		bool is_hole = atomic_fetch_add(&phase[r], 1) % 4 == 2;
		pattern_fill(mem, REGION_BYTES, (uint64_t)off, 1);
		if (is_hole)
			put(v, i % 2 ? DIRECT : BUFFERED, mem, REGION_BYTES, off);
		else if (fallocate(v->buffered, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off,
				   REGION_BYTES) < 0)
			die("fallocate");
		atomic_fetch_add(&phase[r], 1);
	}
	free(mem);
}

static int test_holes(char **arg)
{
	pthread_t thread[2];
	struct view v;
	is_loose = arg[1] != NULL;
	view_open(&v, change_path, false);
	unsigned char *mem = aligned_memory(FILE_BYTES);
	pattern_fill(mem, FILE_BYTES, 0, 1);
	put(&v, BUFFERED, mem, FILE_BYTES, 0);
	free(mem);
	for (int i = 0; i < 2; i++)
		if (pthread_create(&thread[i], NULL, look_at_regions, i ? &is_over : NULL) != 0)
			die("thread");
	fill_and_punch(&v, after_ms(arg[0]));
	atomic_store(&is_over, true);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	return wrong > 0 || seen == 0;
}

/* --- faults --- */

#define PAGES (FILE_BYTES / PAGE_BYTES)

static _Atomic uint64_t complete[PAGES];
static bool has_stores;

/* Page `page` is not older than what was complete when it began. */
static void check_page(unsigned page, uint64_t least, const uint64_t *mem, const char *by)
{
	for (size_t i = 0; i < PAGE_BYTES / sizeof(*mem); i++)
		if (mem[i] < least && atomic_fetch_add(&wrong, 1) == 0)
			fprintf(stderr, "%s: word %zu of page %u is %llu, complete is %llu\n", by,
				i, page, (unsigned long long)mem[i], (unsigned long long)least);
	atomic_fetch_add(&seen, 1);
}

static void *fault_pages(void *arg)
{
	uint64_t mem[PAGE_BYTES / sizeof(uint64_t)];
	struct view v;
	(void)arg;
	view_open(&v, see_path, true);
	for (unsigned page = 0; !atomic_load(&is_over); page = (page + 7) % PAGES) {
		if (page % 32 < 7 && madvise(v.map, FILE_BYTES, MADV_DONTNEED) < 0)
			die("madvise");
		uint64_t least = atomic_load(&complete[page]);
		get(&v, MAPPED, mem, PAGE_BYTES, (off_t)page * PAGE_BYTES);
		check_page(page, least, mem, "mapped");
	}
	view_close(&v);
	return NULL;
}

static void fill_page(uint64_t *mem, uint64_t number)
{
	for (size_t i = 0; i < PAGE_BYTES / sizeof(*mem); i++)
		mem[i] = number;
}

/* Odd pages, by stores, seen by O_DIRECT once written out. */
static void *store_pages(void *arg)
{
	uint64_t *mem = (void *)aligned_memory(PAGE_BYTES);
	struct view v;
	(void)arg;
	view_open(&v, see_path, true);
	for (uint64_t number = 1; !atomic_load(&is_over); number++) {
		unsigned page = dice() % PAGES | 1;
		fill_page(mem, number);
		put(&v, MAPPED, mem, PAGE_BYTES, (off_t)page * PAGE_BYTES);
		atomic_store(&complete[page], number);
		get(&v, DIRECT, mem, PAGE_BYTES, (off_t)page * PAGE_BYTES);
		check_page(page, number, mem, "stored, O_DIRECT");
	}
	view_close(&v);
	free(mem);
	return NULL;
}

static int test_faults(char **arg)
{
	pthread_t thread[2];
	struct view v;
	has_stores = arg[1] != NULL;
	view_open(&v, change_path, false);
	if (ftruncate(v.buffered, FILE_BYTES) < 0)
		die("ftruncate");
	uint64_t *mem = (void *)aligned_memory(PAGE_BYTES);
	if (pthread_create(&thread[0], NULL, fault_pages, NULL) != 0 ||
	    (has_stores && pthread_create(&thread[1], NULL, store_pages, NULL) != 0))
		die("thread");
	long end = after_ms(arg[0]);
	for (uint64_t number = 1; is_before(end); number++) {
		unsigned page = dice() % PAGES & ~1U;
		fill_page(mem, number);
		put(&v, number % 2 ? DIRECT : SUBMITTED, mem, PAGE_BYTES, (off_t)page * PAGE_BYTES);
		atomic_store(&complete[page], number);
	}
	atomic_store(&is_over, true);
	for (int i = 0; i < 1 + has_stores; i++)
		pthread_join(thread[i], NULL);
	view_close(&v);
	/* At rest every view has the last numbers. */
	view_open(&v, see_path, true);
	for (unsigned page = 0; page < PAGES; page++)
		for (unsigned way = BUFFERED; way <= MAPPED; way++) {
			get(&v, (enum way)way, mem, PAGE_BYTES, (off_t)page * PAGE_BYTES);
			check_page(page, complete[page], mem, way_names[way]);
		}
	return wrong > 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*carry_out)(char **arg);
	} tests[] = {{"visible", test_visible}, {"holes", test_holes}, {"faults", test_faults}};
	for (size_t i = 0; argc > 4 && i < sizeof(tests) / sizeof(tests[0]); i++)
		if (strcmp(argv[1], tests[i].name) == 0) {
			change_path = argv[2];
			see_path = argv[3];
			return tests[i].carry_out(argv + 4);
		}
	fprintf(stderr, "litmus: no such test, or too few arguments\n");
	return 2;
}
