/*
 * fileend TEST ...: what happens at the end of a file, changed through CHANGE and seen through SEE, which are the same or lie
 * in two directories that show one inode. Status 1, and a line that says what was seen, if that could not be.
 *
 *   extend CHANGE SEE SECONDS pwrite|submit|uring STEP_BYTES WAY...
 *       O_DIRECT writes of that size, one behind the other, make the file longer (by pwrite, io_submit of four at once, or
 *       io_uring) while others, one a WAY (buffered, O_DIRECT, mapped), read across its end: never less than what was
 *       complete before, and what they get is what was written
 *   append RECORDS MOST_BYTES PATH...
 *       for each PATH, all one file, two append that many records of up to that size each, one buffered, one O_DIRECT:
 *       in the end each record is there once, whole, and each appender's in order
 *   truncated CHANGE SEE
 *       cut, punched and grown under a mapping: prints what loads, stores and reads give, one line a step
 */
#include <linux/io_uring.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "views.h"

#define SEED 7U
#define MIB  1048576U

static _Atomic uint64_t written;
static _Atomic unsigned long looks, wrong;
static atomic_bool is_over;

static void complain(const char *by, const char *what, uint64_t got, uint64_t wanted)
{
	if (atomic_fetch_add(&wrong, 1) == 0)
		fprintf(stderr, "%s: %s: %llu, should be %llu\n", by, what, (unsigned long long)got,
			(unsigned long long)wanted);
}

/* --- extend --- */

#define EXTENDED_MOST (64UL * MIB)

static const char *see_path;

static void look_by_read(const struct view *v, enum way way, unsigned char *mem, uint64_t back)
{
	uint64_t least = atomic_load(&written);
	uint64_t off = (least > back ? least - back : 0) & ~(uint64_t)(PAGE_BYTES - 1);
	ssize_t n = pread(way == DIRECT ? v->direct : v->buffered, mem, MIB, (off_t)off);
	if (n < 0)
		die("pread");
	if ((uint64_t)n < MIB && off + (uint64_t)n < least)
		complain(way_names[way], "the file ends at", off + (uint64_t)n, least);
	size_t at = pattern_differs(mem, (size_t)n, off, SEED);
	if (at < (size_t)n)
		complain(way_names[way], "not what was written, at", off + at, off + (uint64_t)n);
}

/* As far as writes were complete: fstat(2) on a FUSE mount may be ahead of what the kernel lets a mapping reach. */
static void look_by_map(const struct view *v, uint64_t back)
{
	struct stat st;
	uint64_t least = atomic_load(&written);
	if (fstat(v->buffered, &st) < 0)
		die("fstat");
	if ((uint64_t)st.st_size < least)
		complain("fstat", "size", (uint64_t)st.st_size, least);
	uint64_t off = least > back ? least - back : 0;
	size_t at = pattern_differs(v->map + off, (size_t)(least - off), off, SEED);
	if (at < least - off)
		complain("mapped", "not what was written, at", off + at, least);
}

static void *look_at_end(void *arg)
{
	unsigned which = (unsigned)(uintptr_t)arg;
	unsigned char *mem = aligned_memory(MIB);
	struct view v;
	view_open(&v, see_path, false);
	v.map = mmap(NULL, EXTENDED_MOST, PROT_READ, MAP_SHARED, v.buffered, 0);
	if (v.map == MAP_FAILED)
		die("mmap");
	for (uint64_t i = 0; !atomic_load(&is_over); i++) {
		uint64_t back = i * 7919 % 200000;
		if (which == MAPPED)
			look_by_map(&v, back);
		else
			look_by_read(&v, (enum way)which, mem, back);
		atomic_fetch_add(&looks, 1);
	}
	free(mem);
	return NULL;
}

/* A ring of one request at a time; all 0 until it is first used. */
struct ring {
	int fd;
	unsigned *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
};

static void *ring_map(int fd, size_t len, uint64_t what)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)what);
	if (at == MAP_FAILED)
		die("mmap of the ring");
	return at;
}

static void ring_init(struct ring *r)
{
	struct io_uring_params p = {0};
	r->fd = (int)syscall(SYS_io_uring_setup, 4U, &p);
	if (r->fd < 0)
		die("io_uring_setup");
	char *sq = ring_map(r->fd, p.sq_off.array + p.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
	char *cq = ring_map(r->fd, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe),
			    IORING_OFF_CQ_RING);
	r->sqe = ring_map(r->fd, p.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	r->sq_tail = (void *)(sq + p.sq_off.tail);
	r->sq_mask = (void *)(sq + p.sq_off.ring_mask);
	r->sq_array = (void *)(sq + p.sq_off.array);
	r->cq_head = (void *)(cq + p.cq_off.head);
	r->cq_tail = (void *)(cq + p.cq_off.tail);
	r->cq_mask = (void *)(cq + p.cq_off.ring_mask);
	r->cqe = (void *)(cq + p.cq_off.cqes);
}

static ssize_t ring_write(struct ring *r, int fd, const void *mem, size_t len, uint64_t off)
{
	if (!r->sq_tail)
		ring_init(r);
	unsigned slot = *r->sq_tail & *r->sq_mask;
	r->sqe[slot] = (struct io_uring_sqe){.opcode = IORING_OP_WRITE,
					     .fd = fd,
					     .addr = (uint64_t)(uintptr_t)mem,
					     .len = (uint32_t)len,
					     .off = off};
	r->sq_array[slot] = slot;
	__atomic_store_n(r->sq_tail, *r->sq_tail + 1, __ATOMIC_RELEASE);
	do {
		if (syscall(SYS_io_uring_enter, r->fd, 1U, 1U, IORING_ENTER_GETEVENTS, NULL, 0L) < 0 &&
		    errno != EINTR)
			die("io_uring_enter");
	} while (*r->cq_head == __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE));
	ssize_t res = r->cqe[*r->cq_head & *r->cq_mask].res;
	__atomic_store_n(r->cq_head, *r->cq_head + 1, __ATOMIC_RELEASE);
	return res;
}

#define BATCH 4

/* Four writes side by side in one call. */
static void submit_four(aio_context_t ctx, int fd, const unsigned char *mem, size_t step, uint64_t off)
{
	struct iocb cb[BATCH], *each[BATCH];
	struct io_event event;
	for (unsigned i = 0; i < BATCH; i++) {
		cb[i] = (struct iocb){.aio_lio_opcode = IOCB_CMD_PWRITE,
				      .aio_fildes = (uint32_t)fd,
				      .aio_buf = (uint64_t)(uintptr_t)(mem + i * step),
				      .aio_nbytes = step,
				      .aio_offset = (int64_t)(off + i * step)};
		each[i] = &cb[i];
	}
	if (syscall(SYS_io_submit, ctx, (long)BATCH, each) != BATCH)
		die("io_submit");
	for (unsigned i = 0; i < BATCH; i++)
		if (syscall(SYS_io_getevents, ctx, 1L, 1L, &event, NULL) != 1 ||
		    event.res != (int64_t)step)
			die("an asynchronous write");
}

static void extend_until(long end_ms, const char *path, const char *how, size_t step)
{
	int fd = open(path, O_RDWR | O_DIRECT);
	size_t len = strcmp(how, "submit") == 0 ? BATCH * step : step;
	unsigned char *mem = aligned_memory(len);
	aio_context_t ctx = 0;
	struct ring ring = {0};
	if (fd < 0 || syscall(SYS_io_setup, BATCH, &ctx) < 0)
		die(path);
	for (uint64_t off = 0; is_before(end_ms) && off + len <= EXTENDED_MOST; off += len) {
		pattern_fill(mem, len, off, SEED);
		if (len != step)
			submit_four(ctx, fd, mem, step, off);
		else if ((strcmp(how, "uring") == 0 ? ring_write(&ring, fd, mem, len, off)
						    : pwrite(fd, mem, len, (off_t)off)) != (ssize_t)len)
			die("a write");
		atomic_store(&written, off + len);
	}
	free(mem);
	close(fd);
}

static int test_extend(int argc, char **arg)
{
	pthread_t thread[8];
	int n = 0;
	if (argc < 6 || argc > 13)
		return 2;
	int fd = open(arg[0], O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (fd < 0)
		die(arg[0]);
	close(fd);
	see_path = arg[1];
	for (int i = 5; i < argc; i++)
		for (uintptr_t way = BUFFERED; way <= MAPPED; way++)
			if (strcmp(arg[i], way_names[way]) == 0 &&
			    pthread_create(&thread[n++], NULL, look_at_end, (void *)way) != 0)
				die("thread");
	extend_until(after_ms(arg[2]), arg[0], arg[3], strtoul(arg[4], NULL, 10));
	atomic_store(&is_over, true);
	for (int i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	return wrong > 0 || looks == 0;
}

/* --- append --- */

struct appender {
	pthread_t thread;
	const char *path;
	uint64_t id;
	bool is_direct;
};

static unsigned long records;
static size_t most_bytes;

/* All words of a record say whose it is, its number, and its pages. */
static uint64_t word_of(uint64_t id, uint64_t number, size_t len)
{
	return id << 48 | number << 16 | len / PAGE_BYTES;
}

static void *append_records(void *arg)
{
	const struct appender *a = arg;
	uint64_t *mem = (void *)aligned_memory(most_bytes);
	int fd = open(a->path, O_WRONLY | O_APPEND | (a->is_direct ? O_DIRECT : 0));
	if (fd < 0)
		die(a->path);
	for (uint64_t number = 1; number <= records; number++) {
		size_t len = PAGE_BYTES * (1 + (number * 7 + a->id * 5) % (most_bytes / PAGE_BYTES));
		for (size_t i = 0; i < len / sizeof(*mem); i++)
			mem[i] = word_of(a->id, number, len);
		if (write(fd, mem, len) != (ssize_t)len)
			die("an append");
	}
	close(fd);
	free(mem);
	return NULL;
}

static int check_records(const char *path, uint64_t appenders)
{
	uint64_t *mem = (void *)aligned_memory(most_bytes), last[256] = {0}, count = 0;
	int fd = open(path, O_RDONLY);
	off_t off = 0;
	for (ssize_t n; (n = pread(fd, mem, most_bytes, off)) > 0; count++) {
		size_t len = (mem[0] & 0xffff) * PAGE_BYTES, at = 0;
		uint64_t id = mem[0] >> 48, number = mem[0] >> 16 & 0xffffffff;
		while (at < len && at < (size_t)n && mem[at / 8] == mem[0])
			at += 8;
		if (len == 0 || at < len || id >= appenders || number != last[id] + 1) {
			fprintf(stderr,
				"%s: at %lld a record of %zu bytes, %zu of them in one piece, number %llu of %llu\n",
				path, (long long)off, len, at, (unsigned long long)number,
				(unsigned long long)id);
			return 1;
		}
		last[id] = number;
		off += (off_t)len;
	}
	close(fd);
	free(mem);
	if (count != appenders * records)
		complain(path, "records", count, appenders * records);
	return wrong > 0;
}

static int test_append(int argc, char **arg)
{
	struct appender appender[32];
	unsigned n = 0;
	int rc = 0;
	if (argc < 3 || argc > 18)
		return 2;
	records = strtoul(arg[0], NULL, 10);
	most_bytes = strtoul(arg[1], NULL, 10);
	int fd = open(arg[2], O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (fd < 0)
		die(arg[2]);
	close(fd);
	for (int i = 2; i < argc; i++)
		for (int is_direct = 0; is_direct < 2; is_direct++, n++) {
			appender[n] = (struct appender){.path = arg[i], .id = n, .is_direct = is_direct};
			if (pthread_create(&appender[n].thread, NULL, append_records, &appender[n]) != 0)
				die("thread");
		}
	for (unsigned i = 0; i < n; i++)
		pthread_join(appender[i].thread, NULL);
	for (int i = 2; i < argc && rc == 0; i++)
		rc = check_records(arg[i], n);
	return rc;
}

/* --- truncated --- */

static sigjmp_buf beyond;

static void on_bus_error(int number)
{
	(void)number;
	siglongjmp(beyond, 1);
}

/* What the mapping has at off, or writes there where value is not 0; and what a read of it gives. */
static void show(const struct view *v, const char *when, size_t off, char value)
{
	volatile char *at = (char *)v->map + off;
	char got = 0;
	struct stat st;
	printf("%s: ", when);
	if (fstat(v->buffered, &st) < 0)
		die("fstat");
	if (sigsetjmp(beyond, 1) != 0) {
		printf("SIGBUS at %zu of %lld\n", off, (long long)st.st_size);
		return;
	}
	if (value)
		*at = value;
	printf("byte %zu of %lld is %d", off, (long long)st.st_size, *at);
	ssize_t n = pread(v->buffered, &got, 1, (off_t)off);
	printf(", read gives %zd: %d\n", n, got);
}

static int test_truncated(int argc, char **arg)
{
	char mem[3 * PAGE_BYTES];
	struct view c, s;
	struct sigaction action = {.sa_handler = on_bus_error};
	sigaction(SIGBUS, &action, NULL);
	if (argc < 2)
		return 2;
	memset(mem, 'a', sizeof(mem));
	view_open(&c, arg[0], false);
	put(&c, BUFFERED, mem, sizeof(mem), 0);
	view_open(&s, arg[1], true);
	static const struct {
		const char *name;
		off_t size;
	} steps[] = {{"as written", 12288}, {"cut", 5000},         {"grown", 12288},
		     {"emptied", 0},        {"grown again", 4096}, {"longer", 20000}};
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (ftruncate(c.buffered, steps[i].size) < 0)
			die("ftruncate");
		show(&s, steps[i].name, 6000, 0);
		for (size_t off = 10; off < 20480; off += 1663)
			show(&s, steps[i].name, off, 0);
		show(&s, "stored", 4990, 'b');
		show(&s, "stored", 6000, 'c');
		show(&s, "stored", 9000, 'd');
	}
	if (msync(s.map, FILE_BYTES, MS_SYNC) < 0 && errno != ENOMEM)
		die("msync");
	if (fallocate(c.buffered, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4980, 2000) < 0)
		die("fallocate");
	show(&s, "punched", 4979, 0);
	show(&s, "punched", 4990, 0);
	show(&s, "punched", 6000, 0);
	show(&s, "punched", 9000, 0);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*carry_out)(int argc, char **arg);
	} tests[] = {{"extend", test_extend}, {"append", test_append}, {"truncated", test_truncated}};
	for (size_t i = 0; argc > 1 && i < sizeof(tests) / sizeof(tests[0]); i++)
		if (strcmp(argv[1], tests[i].name) == 0)
			return tests[i].carry_out(argc - 2, argv + 2);
	fprintf(stderr, "fileend: no such test\n");
	return 2;
}
