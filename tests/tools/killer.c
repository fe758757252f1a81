/*
 * killer [OPTION]... ZCFS BACKING MOUNTPOINT MOUNT-OPTIONS: what of a mount outlives its daemon. In each cycle the mount is made,
 * threads (killwork.h) write, store, cut, punch, append and sync a few files, and at a random moment the daemon is killed; what
 * is then in BACKING must be what killmodel.h allows. One cycle in eight ends it by SIGTERM instead, and nothing that was written
 * may miss. All the while the size of each file in BACKING is looked at: it is right at every instant.
 *
 *   --seconds N   go on for so long (5)         --cycles N   exactly so many
 *   --seed N      printed at the end; gives the same choices again, though not the same interleaving
 *   --back        what is written lasts once it is synced; without, once it is written
 *   --threads N   (4)
 *   --cached      the mount uses the kernel's cache: stores are synced before anybody writes (killwork.h says why)
 *   --spoil data|size    changes the files itself, after the first kill: that must be found
 *
 * What the last daemon said is in MOUNTPOINT.log. Status 1 and one line if something was wrong: the seed, the cycle, the file, and why.
 */
#include <getopt.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "killwork.h"

static struct {
	const char *zcfs, *backing, *mnt, *mount_options, *spoil;
	char *log; /* what a cycle's daemon has to say */
	uint64_t seed, cycles;
	unsigned threads;
	long end_ms;
	bool is_back, is_cached;
} asked = {.zcfs = "", .backing = "", .mnt = "", .mount_options = "", .threads = 4};

#define STUCK_US 500000

static struct file files[FILES];
static struct stat unmounted; /* what MOUNTPOINT is by itself */
static uint64_t cycle, total_ops, total_syncs, total_looks, total_stuck;
static long mount_us;

static long now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void nap_us(long us)
{
	const struct timespec pause = {.tv_nsec = us * 1000};
	nanosleep(&pause, NULL);
}

static bool unmount_lazily(void)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		execlp("fusermount3", "fusermount3", "-uz", asked.mnt, NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		die("fusermount3");
	return status == 0;
}

/* The mount is made, by a daemon that is a child. */
static pid_t start_daemon(void)
{
	struct stat here;
	long start_us = now_us();
	if (stat(asked.mnt, &unmounted) < 0)
		die(asked.mnt);
	pid_t pid = fork();
	if (pid == 0) {
		int log = asked.log ? open(asked.log, O_WRONLY | O_CREAT | O_TRUNC, 0644) : -1;
		if (dup2(log, STDERR_FILENO) < 0)
			_exit(127);
		execl(asked.zcfs, asked.zcfs, "mount", "-f", "-o", asked.mount_options,
		      asked.backing, asked.mnt, NULL);
		_exit(127);
	}
	if (pid < 0)
		die("fork");
	do {
		nap_us(100);
		if (waitpid(pid, NULL, WNOHANG) != 0) {
			fprintf(stderr, "killer: cycle %llu: no mount, see %s\n",
				(unsigned long long)cycle, asked.log);
			exit(1);
		}
	} while (stat(asked.mnt, &here) < 0 || here.st_dev == unmounted.st_dev);
	mount_us += now_us() - start_us;
	return pid;
}

/* The directory without the mount whose daemon is dead. The kernel may still know the root's attributes. */
static void clear_mount(void)
{
	struct stat here;
	if ((stat(asked.mnt, &here) < 0 || here.st_dev != unmounted.st_dev) && !unmount_lazily())
		die("fusermount3");
}

/* Right at this instant, or a change is being made and it is on the way. */
static void look_at_size(struct file *f)
{
	struct stat st;
	unsigned version = atomic_load(&f->model.version);
	if (version % 2 != 0 || stat(f->backing, &st) < 0)
		return;
	bool is_right = size_may_be(&f->model, (uint64_t)st.st_size);
	unsigned least = atomic_load(&f->model.least), most = atomic_load(&f->model.most);
	if (atomic_load(&f->model.version) != version)
		return;
	total_looks++;
	if (!is_right)
		complain(f, "has size %lld in the backing directory, not %u to %u",
			 (long long)st.st_size, least, most);
}

/* Until so many operations have begun, and then for a while. */
static void await_moment(pid_t pid, uint64_t ops, long us)
{
	for (long end_us = 0; end_us == 0 || now_us() < end_us; nap_us(20)) {
		if (waitpid(pid, NULL, WNOHANG) != 0)
			complain(&files[0], "the daemon ended by itself");
		for (unsigned i = 0; i < FILES; i++)
			look_at_size(&files[i]);
		if (is_over())
			return;
		if (end_us == 0 && atomic_load(&ops_begun) >= ops)
			end_us = now_us() + us;
	}
}

/*
 * Waits for it. A killed daemon may still be in the kernel, where its notifier drops pages from the cache and waits for dirty ones
 * to be written, which nobody does any more: /dev/fuse stays open, and programs wait. A forced unmount ends that.
 */
static void end_daemon(pid_t pid, int number)
{
	int status = 0;
	long end_us = now_us() + STUCK_US;
	kill(pid, number);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		nap_us(200);
		if (number == SIGTERM || now_us() < end_us)
			continue;
		total_stuck++;
		umount2(asked.mnt, MNT_FORCE);
		end_us = now_us() + STUCK_US;
	}
	if (number == SIGTERM && status != 0)
		complain(&files[0], "SIGTERM: the daemon ended with wait status %d", status);
}

static void spoil(unsigned char *content, ssize_t *size)
{
	if (strcmp(asked.spoil, "size") == 0)
		*size += 1;
	else if (*size > 0)
		content[*size / 2] ^= 0xff;
}

static void verify(struct file *f, enum lasting lasting)
{
	static unsigned char content[FILE_MOST + 4096];
	struct finding why = {{0}};
	int fd = open(f->backing, O_RDONLY);
	ssize_t size = fd < 0 ? -1 : pread(fd, content, sizeof(content), 0);
	if (size < 0)
		die(f->backing);
	close(fd);
	if (asked.spoil)
		spoil(content, &size);
	if (!size_may_be(&f->model, (uint64_t)size))
		complain(f, "has size %zd, not %u to %u", size, f->model.least, f->model.most);
	else if (!content_may_be(&f->model, content, 0, (unsigned)size, lasting, &why))
		complain(f, "%s", why.text);
	else
		model_restart(&f->model, content, (unsigned)size);
}

static void one_cycle(void)
{
	struct worker worker[THREADS_MOST];
	bool is_term = one_in(8);
	/* Few and many are as likely: of each magnitude as many. */
	size_t ops = 1U << below(9), us = below(400);
	ops += below(ops);
	pid_t pid = start_daemon();
	work_begin(files);
	for (unsigned i = 0; i < asked.threads; i++) {
		worker[i] = (struct worker){.files = files,
					    .dice = next_random(),
					    .lasts_when_written = !asked.is_back,
					    .is_cached = asked.is_cached};
		if (pthread_create(&worker[i].thread, NULL, work, &worker[i]) != 0)
			die("thread");
	}
	await_moment(pid, ops, (long)us);
	work_end();
	end_daemon(pid, is_term ? SIGTERM : SIGKILL);
	for (unsigned i = 0; i < asked.threads; i++) {
		pthread_join(worker[i].thread, NULL);
		total_syncs += worker[i].syncs;
	}
	total_ops += atomic_load(&ops_begun);
	clear_mount();
	for (unsigned i = 0; i < FILES && !has_failed(); i++)
		verify(&files[i], is_term || !asked.is_back ? WRITTEN : SYNCED);
}

static void make_files(void)
{
	for (unsigned i = 0; i < FILES; i++) {
		struct file *f = &files[i];
		if (asprintf(&f->backing, "%s/k%u", asked.backing, i) < 0 ||
		    asprintf(&f->path, "%s/k%u", asked.mnt, i) < 0)
			die("memory");
		int fd = open(f->backing, O_RDWR | O_CREAT | O_TRUNC, 0644);
		if (fd < 0)
			die(f->backing);
		close(fd);
		model_restart(&f->model, (const unsigned char *)"", 0);
	}
}

static int parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"seconds", required_argument, NULL, 's'}, {"cycles", required_argument, NULL, 'c'},
		{"seed", required_argument, NULL, 'r'},    {"back", no_argument, NULL, 'b'},
		{"threads", required_argument, NULL, 't'}, {"spoil", required_argument, NULL, 'x'},
		{"cached", no_argument, NULL, 'k'},        {NULL, 0, NULL, 0},
	};
	asked.seed = (uint64_t)now_us() & 0xffffffff;
	asked.end_ms = after_ms("5");
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (c == 's')
			asked.end_ms = after_ms(optarg);
		else if (c == 'c')
			asked.cycles = strtoull(optarg, NULL, 10);
		else if (c == 'r')
			asked.seed = strtoull(optarg, NULL, 10);
		else if (c == 'b')
			asked.is_back = true;
		else if (c == 'k')
			asked.is_cached = true;
		else if (c == 't')
			asked.threads = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'x')
			asked.spoil = optarg;
		else
			return 2;
	}
	if (argc - optind != 4 || asked.threads == 0 || asked.threads > THREADS_MOST)
		return 2;
	asked.zcfs = argv[optind];
	asked.backing = argv[optind + 1];
	asked.mnt = argv[optind + 2];
	asked.mount_options = argv[optind + 3];
	return asprintf(&asked.log, "%s.log", asked.mnt) < 0 ? 2 : 0;
}

int main(int argc, char **argv)
{
	if (parse(argc, argv) != 0) {
		fprintf(stderr,
			"killer: usage: killer [OPTION]... ZCFS BACKING MOUNTPOINT MOUNT-OPTIONS\n");
		return 2;
	}
	long start_us = now_us();
	make_files();
	work_setup();
	for (; asked.cycles ? cycle < asked.cycles : is_before(asked.end_ms); cycle++) {
		random_state = asked.seed * 1000003 + cycle;
		alarm(60);
		one_cycle();
		if (has_failed()) {
			fprintf(stderr, "killer: seed %llu, cycle %llu: %s\n",
				(unsigned long long)asked.seed, (unsigned long long)cycle, complaint());
			return 1;
		}
	}
	printf("seed %llu: %llu cycles in %.1f s, %.1f ms a mount; %llu operations, %llu syncs; %llu looks at sizes; "
	       "%llu forced unmounts\n",
	       (unsigned long long)asked.seed, (unsigned long long)cycle,
	       (double)(now_us() - start_us) / 1e6, (double)mount_us / 1e3 / (double)(cycle ? cycle : 1),
	       (unsigned long long)total_ops, (unsigned long long)total_syncs,
	       (unsigned long long)total_looks, (unsigned long long)total_stuck);
	return 0;
}
