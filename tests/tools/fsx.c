/*
 * fsx [--seed N] [--ops N] [--mode buffered|direct|mmap|mixed] [--check PATH] [--race] [--lag] FILE: random operations on one file,
 * each compared with a model in memory. The first line it prints has the seed; the same seed, number of operations, mode and
 * granule do the same again. A difference ends it with the last operations, what stands where, and status 1.
 *
 *   --mode    through which descriptors: two of one kind, or (mixed, the default) two buffered, one O_DIRECT and one mapped,
 *             all open at once, one of them picked for each operation
 *   --check   the same file underneath, compared with the model every so often and at the end; it also says what O_DIRECT
 *             demands of offsets and lengths; with --lag it need not be up to date but after an fsync
 *   --race    instead: two processes at once, and what of it may be late, as fsx_race.h has it
 */
#include <getopt.h>
#include <time.h>

#include "fsx_race.h"
#include "fsx_view.h"

struct range {
	size_t off, len;
};

/*
 * Of lengths from a few bytes to beyond the largest request, often where the file ends, within `limit` of which there is at
 * least a granule. O_DIRECT, and half of the others, keep to granules.
 */
static struct range pick(const struct view *v, size_t limit)
{
	static const size_t most[] = {64, PAGE * 2, PAGE * 2, 65536, 65536, 200000, 600000};
	struct range r = {.off = below(limit), .len = 1 + below(most[below(7)])};
	if (one_in(4) && model_len < limit)
		r.off = model_len - (model_len < r.len ? model_len : below(r.len));
	if (v->kind == DIRECT || one_in(2)) {
		r.off = r.off / granule * granule;
		r.len = (r.len + granule - 1) / granule * granule;
	}
	if (r.off + r.len > limit)
		r.len = limit - r.off;
	return r;
}

/* The same, of the file as it is now; a mapping has no more. Empty if the file is. */
static struct range pick_inside(const struct view *v)
{
	if (model_len < granule)
		return (struct range){0, v->kind == DIRECT ? 0 : model_len};
	return pick(v, v->kind == DIRECT ? model_len / granule * granule : model_len);
}

static void op_read(struct view *v)
{
	struct range r = v->kind == MAPPED ? pick_inside(v) : pick(v, MODEL_BYTES);
	note("read %s %zu+%zu", kind_names[v->kind], r.off, r.len);
	if (v->kind != MAPPED) {
		errno = 0;
		compare_read(pread(v->fd, scratch, r.len, (off_t)r.off), r.off, r.len,
			     kind_names[v->kind]);
	} else if (r.len > 0) {
		compare(v->map + r.off, r.off, r.len, "mapped");
		if (r.off + r.len == model_len)
			compare_tail(v);
	}
}

/* model has the bytes. */
static void put(const struct view *v, int fd, struct range r)
{
	if (v->kind == MAPPED) {
		memcpy(v->map + r.off, model + r.off, r.len);
		is_map_dirty |= r.len > 0;
		return;
	}
	memcpy(scratch, model + r.off, r.len);
	errno = 0;
	ssize_t n = pwrite(fd, scratch, r.len, (off_t)r.off);
	if (n != (ssize_t)r.len)
		fail("pwrite gave %zd", n);
}

static void op_write(struct view *v)
{
	struct range r = v->kind == MAPPED ? pick_inside(v) : pick(v, MODEL_BYTES);
	note("write %s %zu+%zu", kind_names[v->kind], r.off, r.len);
	model_write(r.off, r.len);
	put(v, v->fd, r);
}

/* By a descriptor of its own, O_APPEND. A mapping has to make the file longer first. */
static void op_append(struct view *v)
{
	struct range r = pick(v, MODEL_BYTES);
	r.off = model_len;
	if (r.off + r.len > MODEL_BYTES || (v->kind == DIRECT && r.off % granule))
		r.len = 0;
	note("append %s %zu+%zu", kind_names[v->kind], r.off, r.len);
	model_write(r.off, r.len);
	int flags = v->kind == MAPPED ? O_RDWR : O_WRONLY | O_APPEND;
	int fd = open(path, flags | (v->kind == DIRECT ? O_DIRECT : 0));
	CHECK(fd >= 0, "open");
	if (v->kind == MAPPED) {
		CHECK(ftruncate(fd, (off_t)model_len) == 0, "ftruncate");
		put(v, fd, r);
	} else { /* O_APPEND goes before the offset of a pwrite */
		memcpy(scratch, model + r.off, r.len);
		errno = 0;
		ssize_t n = one_in(2) ? write(fd, scratch, r.len) : pwrite(fd, scratch, r.len, 0);
		if (n != (ssize_t)r.len)
			fail("the append gave %zd", n);
	}
	CHECK(close(fd) == 0, "close");
}

static void op_truncate(struct view *v)
{
	size_t len = one_in(3) ? model_len - below(model_len + 1) / 8 : pick(v, MODEL_BYTES).off;
	bool is_by_name = one_in(2);
	note("truncate %s from %zu to %zu", is_by_name ? "by name" : kind_names[v->kind], model_len, len);
	model_truncate(len);
	CHECK((is_by_name ? truncate(path, (off_t)len) : ftruncate(v->fd, (off_t)len)) == 0, "truncate");
}

/* What each mode does to the model. */
static void model_reserve(struct range r)
{
	if (r.off + r.len > model_len)
		model_len = r.off + r.len;
}

static void model_punch(struct range r)
{
	memset(model + r.off, 0, r.len);
}

static void model_zero(struct range r)
{
	memset(model + r.off, 0, r.len);
	model_reserve(r);
}

static void model_collapse(struct range r)
{
	memmove(model + r.off, model + r.off + r.len, model_len - r.off - r.len);
	model_truncate(model_len - r.len);
}

static void model_insert(struct range r)
{
	memmove(model + r.off + r.len, model + r.off, model_len - r.off);
	memset(model + r.off, 0, r.len);
	model_len += r.len;
}

static struct reservation {
	const char *name;
	int mode;
	bool is_block_wise; /* and not found everywhere: FUSE has none of these */
	void (*model)(struct range r); /* NULL: nothing that shows */
} reservations[] = {
	{"plain", 0, false, model_reserve},
	{"keep", FALLOC_FL_KEEP_SIZE, false, NULL},
	{"punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, false, model_punch},
	{"zero", FALLOC_FL_ZERO_RANGE, false, model_zero},
	{"zero keep", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, false, model_punch},
	{"collapse", FALLOC_FL_COLLAPSE_RANGE, true, model_collapse},
	{"insert", FALLOC_FL_INSERT_RANGE, true, model_insert},
};

static void op_fallocate(struct view *v)
{
	struct reservation *kind = &reservations[below(sizeof(reservations) / sizeof(reservations[0]))];
	struct range r = pick(v, MODEL_BYTES);
	if (kind->is_block_wise) {
		r.off = r.off / PAGE * PAGE;
		r.len = (1 + below(16)) * PAGE;
		if (kind->mode == FALLOC_FL_COLLAPSE_RANGE
			    ? r.off + r.len >= model_len
			    : r.off >= model_len || model_len + r.len > MODEL_BYTES)
			r.len = 0;
	}
	note("fallocate %s %s %zu+%zu", kind->name, kind_names[v->kind], r.off, r.len);
	if (r.len == 0)
		return;
	errno = 0;
	if (fallocate(v->fd, kind->mode, (off_t)r.off, (off_t)r.len) == 0) {
		if (kind->model)
			kind->model(r);
	} else if (!kind->is_block_wise || errno != EOPNOTSUPP)
		fail("fallocate");
}

static void op_copy_range(struct view *v)
{
	const struct view *from = &views[below(views_count)];
	struct view strict = {.kind = from->kind == DIRECT || v->kind == DIRECT ? DIRECT : BUFFERED};
	struct range in = pick_inside(&strict), out = pick(&strict, MODEL_BYTES);
	if (in.len > MODEL_BYTES - out.off)
		in.len = MODEL_BYTES - out.off;
	if (in.off < out.off + in.len && out.off < in.off + in.len)
		in.len = 0; /* the same bytes on both sides */
	note("copy_file_range %s %zu+%zu to %s %zu", kind_names[from->kind], in.off, in.len,
	     kind_names[v->kind], out.off);
	loff_t from_off = (loff_t)in.off, to_off = (loff_t)out.off;
	for (size_t left = in.len; left > 0;) {
		errno = 0;
		ssize_t n = copy_file_range(from->fd, &from_off, v->fd, &to_off, left, 0);
		if (n <= 0)
			fail("copy_file_range, %zu bytes left, gave %zd", left, n);
		left -= (size_t)n;
	}
	if (in.len > 0 && out.off + in.len > model_len)
		model_len = out.off + in.len;
	memcpy(model + out.off, model + in.off, in.len);
}

static void op_sync(struct view *v)
{
	size_t how = below(v->kind == MAPPED ? 3 : 2);
	note("%s %s", how == 0 ? "fsync" : how == 1 ? "fdatasync" : "msync", kind_names[v->kind]);
	if (how == 2)
		CHECK(model_len == 0 || msync(v->map, model_len, MS_SYNC) == 0, "msync");
	else
		CHECK((how == 0 ? fsync(v->fd) : fdatasync(v->fd)) == 0, "sync");
	is_map_dirty = is_map_dirty && how == 2; /* another mapping may have been stored into */
}

static void op_reopen(struct view *v)
{
	note("close and open %s", kind_names[v->kind]);
	view_close(v, one_in(2));
	view_open(v);
}

static void op_stat(struct view *v)
{
	struct stat by_fd, by_name;
	note("fstat %s and stat", kind_names[v->kind]);
	CHECK(fstat(v->fd, &by_fd) == 0 && stat(path, &by_name) == 0, "stat");
	if ((size_t)by_fd.st_size != model_len || (size_t)by_name.st_size != model_len)
		fail("the sizes are %lld by fstat and %lld by stat", (long long)by_fd.st_size,
		     (long long)by_name.st_size);
}

static size_t zeros_from(size_t off, size_t end)
{
	while (off < end && model[off] == 0)
		off++;
	return off;
}

/* A hole reads as zeros, and no data is left out; what of the zeros is a hole is the filesystem's affair. */
static void op_seek(struct view *v)
{
	size_t off = below(MODEL_BYTES);
	note("lseek SEEK_DATA and SEEK_HOLE %s %zu", kind_names[v->kind], off);
	settle_maps(); /* pages that only a mapping has are in nobody's map of the file */
	errno = 0;
	off_t data = lseek(v->fd, (off_t)off, SEEK_DATA);
	if (data < 0 && errno != ENXIO)
		fail("SEEK_DATA");
	if (data >= 0 && ((size_t)data < off || (size_t)data >= model_len))
		fail("SEEK_DATA gave %lld", (long long)data);
	size_t end = data >= 0 ? (size_t)data : off < model_len ? model_len : off;
	size_t first = zeros_from(off, end);
	if (first != end)
		fail("SEEK_DATA gave %lld, but there is data at %zu", (long long)data, first);
	errno = 0;
	off_t hole = lseek(v->fd, (off_t)off, SEEK_HOLE);
	if (off >= model_len ? hole >= 0 || errno != ENXIO : hole < (off_t)off || hole > (off_t)model_len)
		fail("SEEK_HOLE gave %lld", (long long)hole);
	if (hole >= 0 && (size_t)hole < model_len && model[hole] != 0)
		fail("SEEK_HOLE gave %lld, where there is data", (long long)hole);
}

/* Clean pages go, here or underneath: what is read next comes from further down. */
static void op_forget(struct view *v)
{
	bool is_below = check_fd >= 0 && one_in(2);
	struct range r = one_in(2) ? (struct range){0, 0} : pick(v, MODEL_BYTES);
	note("posix_fadvise DONTNEED %s %zu+%zu", is_below ? "below" : kind_names[v->kind], r.off, r.len);
	int rc = posix_fadvise(is_below ? check_fd : v->fd, (off_t)r.off, (off_t)r.len,
			       POSIX_FADV_DONTNEED);
	errno = rc;
	if (rc)
		fail("posix_fadvise");
}

static void op_compare(struct view *v)
{
	(void)v;
	note("compare everything");
	compare_all();
}

static const struct operation {
	unsigned weight;
	void (*carry_out)(struct view *v);
} operations[] = {
	{24, op_read},      {24, op_write},     {6, op_append}, {8, op_truncate},
	{10, op_fallocate}, {6, op_copy_range}, {1, op_sync},   {3, op_reopen},
	{6, op_stat},       {6, op_seek},       {5, op_forget}, {1, op_compare},
};

static void run(uint64_t ops)
{
	for (op_number = 1; op_number <= ops; op_number++) {
		struct view *v = &views[below(views_count)];
		size_t drawn = below(100), i = 0;
		for (; drawn >= operations[i].weight; i++)
			drawn -= operations[i].weight;
		operations[i].carry_out(v);
	}
	note("compare everything, also through new descriptors");
	compare_all();
	views_close();
	compare_anew();
	compare_backing();
}

static bool is_mode(const char *name)
{
	static const char *const modes = "/buffered/direct/mmap/mixed/";
	const char *found = strstr(modes, name);
	return found && found > modes && found[-1] == '/' && found[strlen(name)] == '/';
}

static int usage(void)
{
	fprintf(stderr, "usage: fsx [--seed N] [--ops N] [--mode buffered|direct|mmap|mixed]"
			" [--check PATH] [--race] [--lag] FILE\n");
	return 2;
}

static void prepare(void)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	CHECK(fd >= 0, "%s", path);
	check_fd = check_path ? open(check_path, O_RDONLY) : -1;
	CHECK(!check_path || check_fd >= 0, "%s", check_path);
	learn_granule(check_path ? check_fd : fd);
	close(fd);
	model = aligned_memory(MODEL_BYTES);
	scratch = aligned_memory(MODEL_BYTES);
	memset(model, 0, MODEL_BYTES);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"seed", required_argument, NULL, 's'},
		{"ops", required_argument, NULL, 'o'},
		{"mode", required_argument, NULL, 'm'},
		{"check", required_argument, NULL, 'c'},
		{"race", no_argument, NULL, 'r'},
		{"lag", no_argument, NULL, 'l'},
		{0},
	};
	uint64_t ops = 10000;
	bool is_race = false;
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	seed = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (c) {
		case 's':
			seed = strtoull(optarg, NULL, 10);
			break;
		case 'o':
			ops = strtoull(optarg, NULL, 10);
			break;
		case 'm':
			mode_name = optarg;
			break;
		case 'c':
			check_path = optarg;
			break;
		case 'r':
			is_race = true;
			break;
		case 'l':
			may_lag = true;
			break;
		default:
			return usage();
		}
	}
	if (optind != argc - 1 || !is_mode(mode_name))
		return usage();
	path = argv[optind];
	random_state = seed;
	printf("fsx --seed %llu --ops %llu %s %s\n", (unsigned long long)seed,
	       (unsigned long long)ops, is_race ? "--race" : "--mode", is_race ? "" : mode_name);
	fflush(stdout);
	prepare();
	if (is_race)
		return race(ops);
	views_open(mode_name);
	run(ops);
	return 0;
}
