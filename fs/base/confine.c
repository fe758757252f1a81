/*
 * Owns the list of capabilities that a serving daemon needs, and drops the others. Like cred.c it uses the calls that act on one
 * thread, through syscall(2), to do without libcap. What it refuses: to keep a capability for what the kernel does for the
 * caller before a request comes here (CAP_LEASE, CAP_IPC_LOCK, CAP_SYS_NICE and such: never the daemon's own), or for what no
 * request asks (CAP_SYS_PTRACE: other processes' groups are read from their /proc/PID/status, which everybody may).
 */
#include "base/confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/*
 * Each with what a request needs it for. The caller's own right to it has been checked by the kernel before the request comes;
 * what the daemon lacks, root would be refused on the mount.
 */
static const unsigned char kept[] = {
	CAP_CHOWN, /* chown, also by an owner to one of the owner's groups, which the daemon is not in */
	CAP_DAC_OVERRIDE, /* every open and every name, whoever's the directory is */
	CAP_DAC_READ_SEARCH, /* open_by_handle_at: descriptors closed to save them come back by it (node/fdcache.c) */
	CAP_FOWNER, /* chmod, times, chattr and O_NOATIME for the owner; names in sticky directories; links to others' files */
	CAP_FSETID, /* set-id bits that the caller may set or keep; switched by request (base/cred.c) */
	CAP_SETGID, /* setfsgid: what is made has the caller's group */
	CAP_SETUID, /* setfsuid: what is made is the caller's, quotas and reserved blocks count for the caller */
	CAP_LINUX_IMMUTABLE, /* chattr +i and +a */
	CAP_SYS_ADMIN, /* trusted.* and most security.* attributes; files beyond fs.file-max; umount2 at the end */
	CAP_SYS_RESOURCE, /* root's way past quotas and reserved blocks, chattr +j; pipes beyond pipe-max-size; switched by request */
	CAP_MKNOD, /* device nodes */
	CAP_SETFCAP, /* security.capability */
};

#define BIT(cap)      (1ULL << (cap))
#define BITS(bit)     ((unsigned long)(bit) | (unsigned long)(bit) << 1) /* a securebit and its lock */
#define NOFIXUP_BITS  BITS(SECBIT_NO_SETUID_FIXUP)
#define NO_EXEC_BITS  (BITS(SECBIT_NOROOT) | BITS(SECBIT_NO_CAP_AMBIENT_RAISE))
#define CAPS_PER_WORD 32

uint64_t confine_kept(void)
{
	uint64_t all = 0;

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		all |= BIT(kept[i]);
	return all;
}

struct caps {
	struct __user_cap_header_struct head;
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]; /* the low halves first */
};

static int caps_read(struct caps *c)
{
	*c = (struct caps){.head = {.version = _LINUX_CAPABILITY_VERSION_3}};
	return syscall(SYS_capget, &c->head, c->data) < 0 ? -errno : 0;
}

static bool is_effective(const struct caps *c, unsigned cap)
{
	return c->data[cap / CAPS_PER_WORD].effective >> cap % CAPS_PER_WORD & 1;
}

static int caps_limit(struct caps *c)
{
	for (int half = 0; half < _LINUX_CAPABILITY_U32S_3; half++) {
		uint32_t mask = (uint32_t)(confine_kept() >> CAPS_PER_WORD * half);
		c->data[half].permitted &= mask;
		c->data[half].effective &= mask;
		c->data[half].inheritable = 0;
	}
	return syscall(SYS_capset, &c->head, c->data) < 0 ? -errno : 0;
}

/* Up to the first number that the kernel does not know. */
static int bounding_limit(void)
{
	int rc = 0;

	for (unsigned cap = 0; cap < 64; cap++) {
		int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
		if (has < 0)
			break;
		if (has && !(confine_kept() & BIT(cap)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			rc = -errno;
	}
	return rc;
}

static int securebits_add(unsigned long wanted)
{
	int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);

	if (bits < 0)
		return -errno;
	if (((unsigned long)bits & wanted) == wanted)
		return 0;
	return prctl(PR_SET_SECUREBITS, (unsigned long)bits | wanted, 0, 0, 0) < 0 ? -errno : 0;
}

static int first_of(int rc, int next)
{
	return rc < 0 ? rc : next;
}

int confine_process(void)
{
	struct caps c;
	int rc = caps_read(&c);

	if (rc < 0)
		return rc;
	bool can_unmount = is_effective(&c, CAP_SYS_ADMIN);
	/* Without CAP_SETPCAP these are not ours to change, and what cannot be gained needs no bound. */
	if (is_effective(&c, CAP_SETPCAP)) {
		rc = securebits_add(NOFIXUP_BITS | (can_unmount ? NO_EXEC_BITS : 0));
		rc = first_of(rc, bounding_limit());
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		rc = first_of(rc, -errno);
	if (can_unmount && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		rc = first_of(rc, -errno);
	return first_of(rc, caps_limit(&c));
}
