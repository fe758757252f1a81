/*
 * The request path: sequences of FUSE requests as the kernel would send them for programs that ask for anything, to the
 * daemon's own dispatch (session.c, receive.c, reply.c, libfuse, ops_*.c), on a small backing tree. Every answer is judged
 * (kernel.c); in the end all is given back and nothing may be left, or the mount ends under everything that is open.
 *
 *	input:  [mount options] [bits of the set-up] ([request] [who] what that takes)...
 */
#include "request.h"

#include <fcntl.h>
#include <sys/stat.h>

#define REQUESTS_MAX 64

static struct kernel kernel;

void request_name(struct input *in, char name[NAME_BYTES])
{
	static const char *const names[] = {"f", "g",   "d",  "a", "l",   "p",
					    "n", "x.d", "-o", " ", "...", "\xff\xfe"};
	unsigned which = input_u8(in);
	size_t len;

	if (which < 192) {
		(void)snprintf(name, NAME_BYTES, "%s",
			       names[which % (sizeof(names) / sizeof(names[0]))]);
		return;
	}
	if (which < 200) {
		memset(name, 'x', NAME_BYTES - 1); /* as long as can be */
		name[NAME_BYTES - 1] = '\0';
		return;
	}
	input_text(in, name, NAME_BYTES);
	len = strlen(name);
	for (size_t i = 0; i < len; i++)
		if (name[i] == '/')
			name[i] = '|';
	if (len == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		(void)snprintf(name, NAME_BYTES, "n");
}

struct known *request_node(struct kernel *k, struct input *in, mode_t type)
{
	return kernel_node(k, input_u8(in), type);
}

static void open_node(struct kernel *k, struct known *n, uint32_t flags)
{
	const struct fuse_open_in open_in = {
		.flags = flags, .open_flags = flags & O_TRUNC && k->uid ? FUSE_OPEN_KILL_SUIDGID : 0};

	kernel_put_header(k, S_ISDIR(n->type) ? FUSE_OPENDIR : FUSE_OPEN, n);
	kernel_put(k, &open_in, sizeof(open_in));
	if (kernel_ask_exact(k, sizeof(struct fuse_open_out)) < 0)
		return;
	const struct fuse_open_out *out = (const void *)k->answer;
	kernel_opened(k, n, out->fh, flags & ~(uint32_t)(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC));
}

struct opened *request_open(struct kernel *k, struct input *in, mode_t type)
{
	unsigned from = input_u8(in);
	struct opened *o = kernel_open(k, from, type);
	struct known *n = o ? NULL : kernel_node(k, 1, type);

	if (n)
		open_node(k, n, type == S_IFDIR ? O_RDONLY | O_DIRECTORY : O_RDWR);
	return o ? o : kernel_open(k, from, type);
}

/* The kernel opens devices, fifos and sockets itself, and follows symlinks. */
static void request_opening(struct kernel *k, struct input *in)
{
	bool is_dir = input_u8(in) % 4 == 3;
	struct known *n = request_node(k, in, is_dir ? S_IFDIR : S_IFREG);
	uint32_t flags = (uint32_t)input_bits(in, 3) & ~(uint32_t)(O_CREAT | O_EXCL | O_NOCTTY | O_PATH);

	if (n)
		open_node(k, n, is_dir ? (flags & ~(uint32_t)(O_ACCMODE | O_TRUNC)) | O_DIRECTORY : flags);
}

static void request_release(struct kernel *k, struct input *in)
{
	struct opened *o = kernel_open(k, input_u8(in), ANY_TYPE);

	if (o)
		kernel_release(k, o);
}

static void request_statfs(struct kernel *k, struct input *in)
{
	kernel_put_header(k, FUSE_STATFS, request_node(k, in, ANY_TYPE));
	(void)kernel_ask_exact(k, sizeof(struct fuse_statfs_out));
}

/* Requests that the daemon has no handler for; after them comes room for any of their bodies. */
static void request_unknown(struct kernel *k, struct input *in)
{
	static const uint32_t opcodes[] = {FUSE_ACCESS,        FUSE_GETLK,  FUSE_SETLK,
					   FUSE_SETLKW,        FUSE_BMAP,   FUSE_POLL,
					   FUSE_INTERRUPT,     FUSE_SYNCFS, FUSE_SETUPMAPPING,
					   FUSE_REMOVEMAPPING, 60,          1000,
					   UINT32_MAX};
	uint32_t opcode = opcodes[input_u8(in) % (sizeof(opcodes) / sizeof(opcodes[0]))];
	const unsigned char body[128] = {input_u8(in)};

	kernel_put_header(k, opcode, &k->nodes[0]);
	kernel_put(k, body, sizeof(body));
	int err = kernel_ask(k, 0);
	REQUIRE(err == (opcode == FUSE_SYNCFS ? 0 : -ENOSYS), "%u is answered %d", opcode, err);
}

static void (*const requests[])(struct kernel *k, struct input *in) = {
	request_lookup,   request_make,    request_create,   request_remove,   request_rename,
	request_forget,   request_readdir, request_read,     request_write,    request_read,
	request_write,    request_sync,    request_range,    request_copy,     request_ioctl,
	request_getattr,  request_setattr, request_readlink, request_setxattr, request_getxattr,
	request_setxattr, request_opening, request_opening,  request_release,  request_statfs,
	request_unknown,
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	kernel_start(&kernel);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const mounts[] = {
		"path=auto",
		"path=copy",
		"path=direct",
		"path=splice,list_stats",
		"path=auto,cache=none",
		"path=copy,rule=*.d:direct,rule=d/**:splice",
		"path=auto,attr_timeout=0,entry_timeout=0",
		"path=auto,ledger_files=2",
		"path=auto,xdev,nfs_export",
	};
	static const uint32_t users[] = {0, 1000, 65534, UINT32_MAX - 1};
	struct input in = input_of(data, size);
	const char *options = mounts[input_below(&in, sizeof(mounts) / sizeof(mounts[0]))];
	unsigned bits = input_u8(&in);
	const struct daemon_setup setup = {
		.options = options,
		.fd_budget = bits & 1 ? 2 : 1024,
		.is_flush_needed = bits & 2,
		.has_direct_mmap = !(bits & 4),
	};

	kernel_begin(&kernel, &setup);
	if (bits & 16)
		daemon_limit_fds(bits >> 5);
	for (unsigned i = 0; i < REQUESTS_MAX && in.left_bytes > 0; i++) {
		unsigned which = input_below(&in, sizeof(requests) / sizeof(requests[0]));
		unsigned who = input_u8(&in);
		kernel.uid = users[who & 3];
		kernel.gid = users[who >> 2 & 3];
		requests[which](&kernel, &in);
	}
	kernel_end(&kernel, !(bits & 8));
	return 0;
}
