/*
 * What the kernel gives back: FORGET, RELEASE and RELEASEDIR, served as they come. libfuse needs memory for each request, and
 * answers ENOMEM where it has none; the kernel does not ask for these again, so what they give back would be lost to the daemon
 * until the mount ends. Here nothing is allocated and nothing fails, but where something has to wait for orphans (watch.h).
 */
#include "ops/ops_end.h"

#include "base/log.h"
#include "ops/ops.h"
#include "ops/watch.h"

static void end_node(struct fs *fs, uint64_t id, uint64_t nlookup)
{
	struct node *n = ops_node(fs, id);
	if (n)
		node_forget(fs->nodes, n, nlookup);
	else
		log_err("the kernel forgets node %llu, which it does not know", (unsigned long long)id);
}

static void end_file(struct fs *fs, uint64_t fh, uint64_t unused)
{
	(void)unused;
	ops_release(fs, fh);
}

static void end_dir(struct fs *fs, uint64_t fh, uint64_t unused)
{
	(void)unused;
	ops_releasedir(fs, fh);
}

static void end_nodes(struct fs *fs, const struct fuse_batch_forget_in *in)
{
	const struct fuse_forget_one *one = (const void *)(in + 1);
	for (uint32_t i = 0; i < in->count; i++)
		watch_after_orphans(fs->watch, fs, one[i].nodeid, end_node, one[i].nodeid, one[i].nlookup);
}

bool ops_end_serve(const struct file_request *r, const struct fuse_in_header *in)
{
	const void *arg = in + 1;
	const struct fuse_release_in *release = arg;
	const struct fuse_forget_in *forget = arg;
	switch (in->opcode) {
	case FUSE_FORGET:
		watch_after_orphans(r->fs->watch, r->fs, in->nodeid, end_node, in->nodeid,
				    forget->nlookup);
		return true;
	case FUSE_BATCH_FORGET:
		end_nodes(r->fs, arg);
		return true;
	case FUSE_RELEASE:
		watch_after_orphans(r->fs->watch, r->fs, in->nodeid, end_file, release->fh, 0);
		break;
	case FUSE_RELEASEDIR:
		watch_after_orphans(r->fs->watch, r->fs, in->nodeid, end_dir, release->fh, 0);
		break;
	default:
		return false;
	}
	reply_send_err(r->w, &r->to, 0);
	return true;
}
