/* The kernel's side; see kernel.h. Owns the framing and what makes an answer acceptable. */
#include "kernel.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "input.h"

#define MESSAGE_BYTES (DAEMON_MAX_IO + 8192)
/* The notifier's thread may be answering. In steps, so that a machine that stood still for a while has not waited for all of it. */
#define ANSWER_WAIT_STEP_MS 1000
#define ANSWER_WAIT_STEPS   30

void kernel_put(struct kernel *k, const void *part, size_t part_bytes)
{
	REQUIRE(k->message_bytes + part_bytes <= MESSAGE_BYTES, "the target's own mistake");
	memcpy(k->message + k->message_bytes, part, part_bytes);
	k->message_bytes += part_bytes;
}

void kernel_put_text(struct kernel *k, const char *text)
{
	kernel_put(k, text, strlen(text) + 1);
}

void kernel_put_header(struct kernel *k, uint32_t opcode, const struct known *node)
{
	k->unique += 2; /* odd ones are INTERRUPTs' */
	struct fuse_in_header header = {
		.opcode = opcode,
		.unique = k->unique,
		.nodeid = node ? node->nodeid : 0,
		.uid = k->uid,
		.gid = k->gid,
		.pid = (uint32_t)getpid(),
	};
	k->message_bytes = 0;
	kernel_put(k, &header, sizeof(header));
}

static size_t waiting_bytes(const struct kernel *k)
{
	int n = 0;

	REQUIRE(ioctl(k->daemon.dev_fd, FIONREAD, &n) == 0, "%m");
	return (size_t)n;
}

static uint32_t opcode_of(const struct kernel *k)
{
	return ((const struct fuse_in_header *)(const void *)k->message)->opcode;
}

void kernel_tell(struct kernel *k)
{
	uint32_t len = (uint32_t)k->message_bytes;

	memcpy(k->message, &len, sizeof(len));
	REQUIRE(waiting_bytes(k) == 0, "an answer too many before %u", opcode_of(k));
	ssize_t n = write(k->daemon.dev_fd, k->message, k->message_bytes);
	REQUIRE(n == (ssize_t)k->message_bytes, "%m");
	daemon_serve(&k->daemon);
}

static void read_exactly(const struct kernel *k, void *to, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t n = read(k->daemon.dev_fd, (char *)to + done, bytes - done);
		REQUIRE(n > 0, "%m");
		done += (size_t)n;
	}
}

static void await_answer(const struct kernel *k)
{
	struct pollfd wait = {.fd = k->daemon.dev_fd, .events = POLLIN};

	for (int i = 0; i < ANSWER_WAIT_STEPS; i++)
		if (poll(&wait, 1, ANSWER_WAIT_STEP_MS) == 1)
			return;
	REQUIRE(false, "no answer to %u", opcode_of(k));
}

int kernel_ask(struct kernel *k, size_t most_bytes)
{
	struct fuse_out_header header;

	kernel_tell(k);
	await_answer(k);
	size_t there = waiting_bytes(k);
	REQUIRE(there >= sizeof(header), "%zu bytes answer %u", there, opcode_of(k));
	read_exactly(k, &header, sizeof(header));
	REQUIRE(header.len == there, "%u is answered by %zu bytes that say they are %u",
		opcode_of(k), there, header.len);
	REQUIRE(header.unique == k->unique, "an answer to another request than %u", opcode_of(k));
	REQUIRE(header.error > -512 && header.error <= 0, "%u is answered by error %d",
		opcode_of(k), header.error);
	k->answer_bytes = header.len - sizeof(header);
	REQUIRE(header.error == 0 || k->answer_bytes == 0, "an error of %u with data", opcode_of(k));
	REQUIRE(k->answer_bytes <= most_bytes, "%u asked for %zu bytes and got %zu", opcode_of(k),
		most_bytes, k->answer_bytes);
	read_exactly(k, k->answer, k->answer_bytes);
	return header.error;
}

int kernel_ask_exact(struct kernel *k, size_t bytes)
{
	int err = kernel_ask(k, bytes);

	REQUIRE(err < 0 || k->answer_bytes == bytes, "%u is answered by %zu bytes, not %zu",
		opcode_of(k), k->answer_bytes, bytes);
	return err;
}

static struct known *find(struct kernel *k, uint64_t nodeid)
{
	for (size_t i = 0; i < KERNEL_NODES; i++)
		if (k->nodes[i].lookups > 0 && k->nodes[i].nodeid == nodeid)
			return &k->nodes[i];
	return NULL;
}

static void send_forget(struct kernel *k, uint64_t nodeid, uint64_t lookups)
{
	const struct known node = {.nodeid = nodeid};
	const struct fuse_forget_in in = {.nlookup = lookups};

	kernel_put_header(k, FUSE_FORGET, &node);
	kernel_put(k, &in, sizeof(in));
	kernel_tell(k);
}

struct known *kernel_learn(struct kernel *k, const struct fuse_entry_out *entry)
{
	mode_t type = entry->attr.mode & S_IFMT;

	if (entry->nodeid == 0)
		return NULL;
	REQUIRE(S_ISREG(type) || S_ISDIR(type) || S_ISLNK(type) || S_ISCHR(type) || S_ISBLK(type) ||
			S_ISFIFO(type) || S_ISSOCK(type),
		"a file of type %o", type);
	REQUIRE(entry->attr.size <= INT64_MAX, "a size of %llu", (unsigned long long)entry->attr.size);
	struct known *n = find(k, entry->nodeid);
	if (n == &k->nodes[0])
		return n; /* the root is never forgotten */
	if (n) {
		REQUIRE(n->generation == entry->generation && n->type == type,
			"another file under one id");
		n->lookups++;
		return n;
	}
	for (size_t i = 1; i < KERNEL_NODES && !n; i++)
		n = k->nodes[i].lookups == 0 ? &k->nodes[i] : NULL;
	if (!n)
		send_forget(k, entry->nodeid, 1);
	else
		*n = (struct known){.nodeid = entry->nodeid,
				    .generation = entry->generation,
				    .lookups = 1,
				    .type = type};
	return n;
}

void kernel_forget(struct kernel *k, struct known *node, uint64_t lookups)
{
	if (node == &k->nodes[0] || lookups == 0)
		return;
	node->lookups -= lookups;
	if (node->lookups == 0)
		k->forgotten[k->n_forgotten++ % 8] = node->nodeid;
	send_forget(k, node->nodeid, lookups);
}

void kernel_opened(struct kernel *k, struct known *node, uint64_t fh, uint32_t flags)
{
	struct opened extra = {0}, *place = NULL;

	for (size_t i = 0; i < KERNEL_OPENS && !place; i++)
		place = k->opens[i].node ? NULL : &k->opens[i];
	struct opened *open = place ? place : &extra;
	*open = (struct opened){.node = node, .fh = fh, .flags = flags};
	node->opens++;
	if (!place)
		kernel_release(k, open);
}

void kernel_release(struct kernel *k, struct opened *open)
{
	const struct fuse_release_in in = {.fh = open->fh, .flags = open->flags};

	kernel_put_header(k, S_ISDIR(open->node->type) ? FUSE_RELEASEDIR : FUSE_RELEASE, open->node);
	kernel_put(k, &in, sizeof(in));
	(void)kernel_ask(k, 0);
	open->node->opens--;
	open->node = NULL;
}

struct known *kernel_node(struct kernel *k, unsigned from, mode_t type)
{
	for (unsigned i = 0; i < KERNEL_NODES; i++) {
		struct known *n = &k->nodes[(from + i) % KERNEL_NODES];
		if (n->lookups > 0 && (type == ANY_TYPE || n->type == type))
			return n;
	}
	return NULL;
}

struct opened *kernel_open(struct kernel *k, unsigned from, mode_t type)
{
	for (unsigned i = 0; i < KERNEL_OPENS; i++) {
		struct opened *o = &k->opens[(from + i) % KERNEL_OPENS];
		if (o->node && (type == ANY_TYPE || o->node->type == type))
			return o;
	}
	return NULL;
}

void kernel_start(struct kernel *k)
{
	const struct fuse_init_in in = {
		.major = FUSE_KERNEL_VERSION,
		.minor = 45, /* Linux 6.18's, whatever the header at hand is of */
		.max_readahead = 1 << 20,
		.flags = UINT32_MAX,
		.flags2 = UINT32_MAX,
	};

	memset(k, 0, sizeof(*k));
	daemon_start(&k->daemon);
	k->message = malloc(MESSAGE_BYTES);
	k->answer = malloc(MESSAGE_BYTES);
	REQUIRE(k->message && k->answer, "no memory");
	kernel_put_header(k, FUSE_INIT, NULL);
	kernel_put(k, &in, sizeof(in));
	REQUIRE(kernel_ask_exact(k, sizeof(struct fuse_init_out)) == 0, "INIT is refused");
	const struct fuse_init_out *out = (const void *)k->answer;
	REQUIRE(out->major == FUSE_KERNEL_VERSION && out->max_write == DAEMON_MAX_IO, "%u, %u",
		out->major, out->max_write);
	k->has_setxattr_ext = out->flags & FUSE_SETXATTR_EXT;
}

void kernel_begin(struct kernel *k, const struct daemon_setup *setup)
{
	static const char *const names[] = {"f", "d", "g", "l", "p"};

	memset(k->nodes, 0, sizeof(k->nodes));
	memset(k->opens, 0, sizeof(k->opens));
	k->n_forgotten = 0;
	k->unique = 2;
	k->uid = k->gid = 0;
	daemon_begin(&k->daemon, setup);
	k->nodes[0] = (struct known){.nodeid = FUSE_ROOT_ID, .lookups = 1, .type = S_IFDIR};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		kernel_put_header(k, FUSE_LOOKUP, &k->nodes[0]);
		kernel_put_text(k, names[i]);
		REQUIRE(kernel_ask_exact(k, sizeof(struct fuse_entry_out)) == 0, "%s is not found",
			names[i]);
		(void)kernel_learn(k, (const void *)k->answer);
	}
}

static void give_back(struct kernel *k)
{
	size_t nodes, fds;

	for (size_t i = 0; i < KERNEL_OPENS; i++)
		if (k->opens[i].node)
			kernel_release(k, &k->opens[i]);
	for (size_t i = 1; i < KERNEL_NODES; i++)
		kernel_forget(k, &k->nodes[i], k->nodes[i].lookups);
	daemon_unlimit_fds();
	/* Its answer shows that there is none too many to what came before, and that the daemon goes on. */
	kernel_put_header(k, FUSE_STATFS, &k->nodes[0]);
	REQUIRE(kernel_ask_exact(k, sizeof(struct fuse_statfs_out)) == 0, "the root has no statfs");
	node_table_size(k->daemon.fs.nodes, &nodes, &fds);
	REQUIRE(nodes == 1 && fds == 1, "%zu nodes with %zu descriptors are left", nodes, fds);
}

void kernel_end(struct kernel *k, bool is_polite)
{
	if (is_polite)
		give_back(k);
	daemon_end(&k->daemon);
}
