/*
 * Owns a worker thread's identity: fsuid, fsgid, umask, effective capabilities. It uses the calls
 * that act on one thread only. glibc's setuid() and its kin would signal every thread to do the
 * same, so none of them is here: setfsuid() and setfsgid() are plain calls, and capget() and
 * capset() go through syscall(2), also to do without libcap. Thread rule: only the thread that
 * owns the struct.
 */
#include "base/cred.h"

#include <assert.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static bool has_cap(uint64_t set, unsigned cap)
{
	return set >> cap & 1;
}

/* Version 3 carries 64 bits as two structs: the low halves first. */
static int read_caps(struct cred *c)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	c->caps_effective = (uint64_t)data[1].effective << 32 | data[0].effective;
	c->caps_permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted;
	c->caps_inheritable = (uint64_t)data[1].inheritable << 32 | data[0].inheritable;
	return 0;
}

static int write_caps(const struct cred *c)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	for (int half = 0; half < _LINUX_CAPABILITY_U32S_3; half++) {
		data[half].effective = (uint32_t)(c->caps_effective >> 32 * half);
		data[half].permitted = (uint32_t)(c->caps_permitted >> 32 * half);
		data[half].inheritable = (uint32_t)(c->caps_inheritable >> 32 * half);
	}
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

/*
 * True if from now on setfsuid() leaves the capabilities alone. Needs CAP_SETPCAP; the bits may
 * also be locked.
 */
static bool set_nofixup(void)
{
	int bits = prctl(PR_GET_SECUREBITS);

	if (bits < 0)
		return false;
	if (bits & SECBIT_NO_SETUID_FIXUP)
		return true;
	return prctl(PR_SET_SECUREBITS, (unsigned long)bits | SECBIT_NO_SETUID_FIXUP, 0, 0, 0) == 0;
}

int cred_thread_init(struct cred *c)
{
	*c = (struct cred){0};
	if (unshare(CLONE_FS) < 0)
		return -errno;
	umask(0);
	/* An id that cannot be taken makes these a question. */
	c->fsuid = (uid_t)setfsuid((uid_t)-1);
	c->fsgid = (gid_t)setfsgid((gid_t)-1);
	int rc = read_caps(c);
	if (rc < 0)
		return rc;
	c->can_switch = has_cap(c->caps_effective, CAP_SETUID) && has_cap(c->caps_effective, CAP_SETGID);
	c->has_nofixup = set_nofixup();
	c->may_fsetid = has_cap(c->caps_permitted, CAP_FSETID);
	c->may_resource = has_cap(c->caps_permitted, CAP_SYS_RESOURCE);
	if (c->may_fsetid)
		c->caps_effective |= 1ULL << CAP_FSETID;
	if (c->may_resource)
		c->caps_effective |= 1ULL << CAP_SYS_RESOURCE;
	/* Also where nothing changes: what is accepted now will not be refused in mid-request. */
	return write_caps(c);
}

/* The sets are those that cred_thread_init() saw accepted, but for permitted ones that were switched. */
static void apply_caps(const struct cred *c)
{
	int rc = write_caps(c);
	assert(rc == 0);
	(void)rc;
}

static void set_ids(struct cred *c, uid_t uid, gid_t gid)
{
	if (!c->can_switch)
		return;
	if (c->fsgid != gid) {
		setfsgid(gid);
		c->fsgid = gid;
	}
	if (c->fsuid != uid) {
		setfsuid(uid);
		c->fsuid = uid;
		/*
		 * Away from 0 the kernel took the filesystem capabilities, back to 0 it gave
		 * them all.
		 */
		if (!c->has_nofixup)
			apply_caps(c);
	}
}

static void switch_cap(struct cred *c, unsigned cap, bool is_permitted, bool is_on)
{
	if (!is_permitted || has_cap(c->caps_effective, cap) == is_on)
		return;
	c->caps_effective ^= 1ULL << cap;
	apply_caps(c);
}

void cred_serve(struct cred *c, uid_t uid, gid_t gid)
{
	set_ids(c, uid, gid);
	if (c->can_switch)
		cred_set_resource(c, uid == 0);
}

void cred_become(struct cred *c, uid_t uid, gid_t gid, mode_t mask)
{
	cred_serve(c, uid, gid);
	mask &= 0777;
	if (c->umask != mask) {
		umask(mask);
		c->umask = mask;
	}
}

void cred_become_nomask(struct cred *c, uid_t uid, gid_t gid)
{
	cred_become(c, uid, gid, 0);
}

void cred_set_fsetid(struct cred *c, bool is_on)
{
	switch_cap(c, CAP_FSETID, c->may_fsetid, is_on);
}

void cred_set_resource(struct cred *c, bool is_on)
{
	switch_cap(c, CAP_SYS_RESOURCE, c->may_resource, is_on);
}
