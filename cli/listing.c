/*
 * Walks a directory by descriptors, so that neither the depth of a tree nor the length of a path stops it, and
 * reads each file's ledger without opening it. Stays on one mount, follows no symbolic link.
 */
#include "listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "fs/wire.h"

struct walk {
	struct listing *list;
	dev_t device;
	char value[CONTROL_VALUE_BYTES]; /* reused for each file */
};

uint64_t listing_bytes(const struct control_ledger *ledger)
{
	return ledger->value[CONTROL_READ_BYTES] + ledger->value[CONTROL_WRITE_BYTES];
}

static bool is_idle(const struct control_ledger *ledger)
{
	return ledger->value[CONTROL_READ_OPS] == 0 && ledger->value[CONTROL_WRITE_OPS] == 0 &&
	       ledger->value[CONTROL_COPY_RANGE_OPS] == 0 && listing_bytes(ledger) == 0;
}

static void entry_fini(struct listing_entry *entry)
{
	free(entry->path);
	free(entry->json);
	*entry = (struct listing_entry){0};
}

/* Reads the ledger behind fd into an entry named `path`. 0 or -errno. */
static int entry_init(struct walk *w, int fd, const char *path, struct listing_entry *entry)
{
	ssize_t len = control_get(fd, ZCFS_XATTR_JSON, w->value);
	if (len < 0)
		return (int)len;
	int err = control_parse(w->value, &entry->ledger);
	if (err)
		return err;
	entry->path = strdup(path);
	entry->json = w->list->keep_json ? strdup(w->value) : NULL;
	if (entry->path && (entry->json || !w->list->keep_json))
		return 0;
	entry_fini(entry);
	return -ENOMEM;
}

static int keep(struct listing *list, struct listing_entry *entry)
{
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? list->capacity * 2 : 64;
		struct listing_entry *files = realloc(list->files, capacity * sizeof(*files));
		if (!files)
			return -ENOMEM;
		list->files = files;
		list->capacity = capacity;
	}
	list->files[list->count++] = *entry;
	*entry = (struct listing_entry){0};
	return 0;
}

static int walk_file(struct walk *w, int dir_fd, const char *name, const char *path)
{
	struct listing_entry entry = {0};
	int AUTO_FD fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int err = fd < 0 ? -errno : entry_init(w, fd, path, &entry);
	if (err == -ENOMEM)
		return err;
	if (err) {
		w->list->skipped += err != -ENOENT;
		return 0;
	}
	if (is_idle(&entry.ledger)) {
		w->list->idle++;
	} else {
		err = keep(w->list, &entry);
	}
	entry_fini(&entry);
	return err;
}

static int walk_directory(struct walk *w, int fd, const char *path);

/* A name in a directory: a file's ledger is read, a directory is entered, others have no ledger. */
static int walk_name(struct walk *w, DIR *dir, const struct dirent *e, const char *path)
{
	struct stat st;
	char AUTO_FREE *below = NULL;
	int type = e->d_type;
	if (type == DT_UNKNOWN && fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		type = IFTODT(st.st_mode);
	if (type != DT_REG && type != DT_DIR)
		return 0;
	const char *slash = path[strlen(path) - 1] == '/' ? "" : "/";
	if (asprintf(&below, "%s%s%s", path, slash, e->d_name) < 0) {
		below = NULL;
		return -ENOMEM;
	}
	if (type == DT_REG)
		return walk_file(w, dirfd(dir), e->d_name, below);
	int fd = openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		return walk_directory(w, fd, below);
	w->list->skipped += errno != ENOENT;
	return 0;
}

/* Takes fd. 0 or -ENOMEM; what cannot be read is counted. */
static int walk_directory(struct walk *w, int fd, const char *path)
{
	struct stat st;
	int err = 0;
	DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	if (fstat(fd, &st) < 0) {
		w->list->skipped++;
	} else if (st.st_dev == w->device) {
		errno = 0;
		for (struct dirent *e; !err && (e = readdir(dir)); errno = 0)
			if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
				err = walk_name(w, dir, e, path);
		w->list->skipped += !err && errno;
	}
	closedir(dir);
	return err;
}

static int compare_entries(const void *a, const void *b)
{
	const struct listing_entry *x = a, *y = b;
	uint64_t x_bytes = listing_bytes(&x->ledger), y_bytes = listing_bytes(&y->ledger);
	if (x_bytes != y_bytes)
		return x_bytes < y_bytes ? 1 : -1;
	return strcmp(x->path, y->path);
}

/* A walk holds one descriptor a level. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int listing_fill(struct listing *list, const char *path)
{
	struct stat st;
	struct walk w;
	int AUTO_FD fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	w.list = list;
	int err = entry_init(&w, fd, path, &list->self);
	if (err)
		return err;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return 0;
	int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return -errno;
	w.device = st.st_dev;
	raise_descriptor_limit();
	err = walk_directory(&w, dir_fd, path);
	if (!err && list->count)
		qsort(list->files, list->count, sizeof(*list->files), compare_entries);
	return err;
}

void listing_fini(struct listing *list)
{
	for (size_t i = 0; i < list->count; i++)
		entry_fini(&list->files[i]);
	free(list->files);
	entry_fini(&list->self);
	*list = (struct listing){0};
}
