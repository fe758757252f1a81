/* Requests about names; see request.h. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "request.h"

#define ENTRY_BYTES sizeof(struct fuse_entry_out)

/* Asks what is answered by an entry, and learns it. */
static struct known *ask_entry(struct kernel *k)
{
	if (kernel_ask_exact(k, ENTRY_BYTES) < 0)
		return NULL;
	const struct fuse_entry_out *e = (const void *)k->answer;
	REQUIRE(e->nodeid != 0, "something was made, and is nothing");
	return kernel_learn(k, e);
}

void request_lookup(struct kernel *k, struct input *in)
{
	struct known *dir = request_node(k, in, S_IFDIR);
	char name[NAME_BYTES];
	unsigned which = input_u8(in);

	request_name(in, name);
	/* A file handle is being resolved: its file, of an id that may be long forgotten, or the directory above it. */
	struct known forgotten = {.nodeid = k->forgotten[which % 8]};
	if (which >= 240)
		(void)snprintf(name, sizeof(name), "%s", which & 1 ? "." : "..");
	if (which >= 240 && which & 1) {
		bool is_known = which < 248 || !k->daemon.is_private || which % 8 >= k->n_forgotten;
		dir = is_known ? request_node(k, in, ANY_TYPE) : &forgotten;
	}
	kernel_put_header(k, FUSE_LOOKUP, dir);
	kernel_put_text(k, name);
	if (kernel_ask_exact(k, ENTRY_BYTES) == 0)
		(void)kernel_learn(k, (const void *)k->answer);
}

static void put_link(struct kernel *k, const struct known *dir, const struct known *file, const char *name)
{
	const struct fuse_link_in link = {.oldnodeid = file->nodeid};

	kernel_put_header(k, FUSE_LINK, dir);
	kernel_put(k, &link, sizeof(link));
	kernel_put_text(k, name);
}

void request_make(struct kernel *k, struct input *in)
{
	unsigned which = input_below(in, 4);
	struct known *dir = request_node(k, in, S_IFDIR);
	char name[NAME_BYTES], target[NAME_BYTES];
	uint32_t mode = (uint32_t)input_bits(in, 2), umask = (uint32_t)input_bits(in, 2) & 0777;

	request_name(in, name);
	if (which == 0) {
		const struct fuse_mknod_in mknod = {
			.mode = mode, .umask = umask, .rdev = (uint32_t)input_number(in)};
		kernel_put_header(k, FUSE_MKNOD, dir);
		kernel_put(k, &mknod, sizeof(mknod));
	} else if (which == 1) {
		const struct fuse_mkdir_in mkdir = {.mode = mode & 07777, .umask = umask};
		kernel_put_header(k, FUSE_MKDIR, dir);
		kernel_put(k, &mkdir, sizeof(mkdir));
	} else if (which == 2) {
		kernel_put_header(k, FUSE_SYMLINK, dir);
	} else {
		struct known *file = request_node(k, in, ANY_TYPE);
		if (S_ISDIR(file->type)) /* link(2) of a directory is refused above */
			return;
		put_link(k, dir, file, name);
	}
	if (which < 3)
		kernel_put_text(k, name);
	if (which == 2) {
		if (input_text(in, target, sizeof(target)) == 0)
			(void)snprintf(target, sizeof(target), "../d");
		kernel_put_text(k, target);
	}
	(void)ask_entry(k);
}

void request_create(struct kernel *k, struct input *in)
{
	bool is_tmpfile = input_u8(in) & 1;
	struct known *dir = request_node(k, in, S_IFDIR);
	char name[NAME_BYTES];
	struct fuse_create_in create = {
		.flags = (uint32_t)input_bits(in, 3) & ~(uint32_t)O_PATH,
		.mode = S_IFREG | ((uint32_t)input_bits(in, 2) & 07777),
		.umask = (uint32_t)input_bits(in, 2) & 0777,
	};
	size_t bytes = ENTRY_BYTES + sizeof(struct fuse_open_out);

	request_name(in, name);
	if (is_tmpfile) {
		create.flags |= O_TMPFILE;
		(void)snprintf(name, sizeof(name), "/"); /* the kernel's name of what has none */
	} else {
		create.flags = (create.flags | O_CREAT) & ~(uint32_t)O_DIRECTORY;
	}
	kernel_put_header(k, is_tmpfile ? FUSE_TMPFILE : FUSE_CREATE, dir);
	kernel_put(k, &create, sizeof(create));
	kernel_put_text(k, name);
	if (kernel_ask_exact(k, bytes) < 0)
		return;
	struct fuse_entry_out entry;
	struct fuse_open_out open;
	memcpy(&entry, k->answer, sizeof(entry));
	memcpy(&open, k->answer + sizeof(entry), sizeof(open));
	REQUIRE(S_ISREG(entry.attr.mode), "a file of mode %o was made", entry.attr.mode);
	struct known *n = kernel_learn(k, &entry);
	struct known forgotten = {.nodeid = entry.nodeid, .type = S_IFREG};
	uint32_t flags = create.flags & ~(uint32_t)(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_TMPFILE);
	if (n) {
		kernel_opened(k, n, open.fh, flags);
		return;
	}
	struct opened extra = {.node = &forgotten, .fh = open.fh, .flags = flags};
	kernel_release(k, &extra);
}

void request_remove(struct kernel *k, struct input *in)
{
	bool is_dir = input_u8(in) & 1;
	struct known *dir = request_node(k, in, S_IFDIR);
	char name[NAME_BYTES];

	request_name(in, name);
	kernel_put_header(k, is_dir ? FUSE_RMDIR : FUSE_UNLINK, dir);
	kernel_put_text(k, name);
	(void)kernel_ask(k, 0);
}

void request_rename(struct kernel *k, struct input *in)
{
	unsigned which = input_u8(in);
	struct known *from = request_node(k, in, S_IFDIR), *to = request_node(k, in, S_IFDIR);
	const struct fuse_rename_in plain = {.newdir = to->nodeid};
	const struct fuse_rename2_in flagged = {.newdir = to->nodeid, .flags = which >> 1 & 7};
	char name[NAME_BYTES];

	kernel_put_header(k, which & 1 ? FUSE_RENAME2 : FUSE_RENAME, from);
	kernel_put(k, which & 1 ? (const void *)&flagged : &plain,
		   which & 1 ? sizeof(flagged) : sizeof(plain));
	request_name(in, name);
	kernel_put_text(k, name);
	request_name(in, name);
	kernel_put_text(k, name);
	(void)kernel_ask(k, 0);
}

void request_forget(struct kernel *k, struct input *in)
{
	struct known *n = request_node(k, in, ANY_TYPE);
	bool is_batch = input_u8(in) & 1;

	if (n == &k->nodes[0] || n->opens > 0) /* still in use */
		return;
	if (!is_batch) {
		kernel_forget(k, n, n->lookups > 1 && input_u8(in) & 1 ? 1 : n->lookups);
		return;
	}
	struct fuse_batch_forget_in batch = {.count = 1};
	struct fuse_forget_one one[2] = {{.nodeid = n->nodeid, .nlookup = n->lookups}};
	n->lookups = 0;
	struct known *other = request_node(k, in, S_IFREG);
	if (other && other->opens == 0) {
		one[batch.count++] =
			(struct fuse_forget_one){.nodeid = other->nodeid, .nlookup = other->lookups};
		other->lookups = 0;
	}
	kernel_put_header(k, FUSE_BATCH_FORGET, NULL);
	kernel_put(k, &batch, sizeof(batch));
	kernel_put(k, one, batch.count * sizeof(one[0]));
	kernel_tell(k);
}

/* One struct fuse_dirent at `at`; the bytes it takes. */
static size_t check_dirent(const struct kernel *k, size_t at)
{
	struct fuse_dirent entry;
	const char *name = (const char *)k->answer + at + FUSE_NAME_OFFSET;

	REQUIRE(k->answer_bytes - at >= FUSE_NAME_OFFSET, "half an entry");
	memcpy(&entry, k->answer + at, FUSE_NAME_OFFSET);
	size_t bytes = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + entry.namelen);
	REQUIRE(entry.namelen > 0 && entry.namelen < NAME_BYTES, "a name of %u bytes", entry.namelen);
	REQUIRE(k->answer_bytes - at >= bytes, "half an entry");
	REQUIRE(!memchr(name, '/', entry.namelen) && !memchr(name, '\0', entry.namelen), "a bad name");
	return bytes;
}

static void check_listing(struct kernel *k, bool is_plus)
{
	size_t head = is_plus ? sizeof(struct fuse_entry_out) : 0;

	for (size_t at = 0; at < k->answer_bytes;) {
		REQUIRE(k->answer_bytes - at >= head, "half an entry");
		at += head + check_dirent(k, at + head);
	}
	/* Learning may send a FORGET, but asks nothing, so that the answer stays as it is. */
	for (size_t at = 0; is_plus && at < k->answer_bytes;) {
		struct fuse_entry_out entry;
		memcpy(&entry, k->answer + at, sizeof(entry));
		at += head + check_dirent(k, at + head);
		if (entry.nodeid)
			(void)kernel_learn(k, &entry);
	}
}

void request_readdir(struct kernel *k, struct input *in)
{
	struct opened *o = request_open(k, in, S_IFDIR);
	bool is_plus = input_u8(in) & 1;
	uint32_t size = (uint32_t)input_number(in);

	if (!o)
		return;
	if (size > DAEMON_MAX_IO)
		size = DAEMON_MAX_IO;
	const struct fuse_read_in read = {
		.fh = o->fh, .offset = input_number(in) & INT64_MAX, .size = size, .flags = o->flags};
	kernel_put_header(k, is_plus ? FUSE_READDIRPLUS : FUSE_READDIR, o->node);
	kernel_put(k, &read, sizeof(read));
	if (kernel_ask(k, size) == 0)
		check_listing(k, is_plus);
}
