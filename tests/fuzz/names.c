/*
 * The extended attributes that are zcfs's own, user.zcfs.*, with any name, value, flags and caller, on a file, a directory, a
 * symlink and the root; and what they render, from counters and strings of any value: the JSON is valid, names that are listed
 * are answered, and only the documented values are taken.
 *
 *	input:  [what to do] [on which file] then as that takes it
 */
#include <sys/xattr.h>

#include "../unit/nodes.h"
#include "fs.h"
#include "input.h"
#include "json.h"
#include "ops/xattr_own.h"
#include "stats/render.h"
#include "wire.h"

#define VALUE_BYTES 200

static struct nodes nodes;
static struct fs fs;
static struct node *files[4]; /* a file, a directory, a symlink, the root */

static void clean_up(void)
{
	for (size_t i = 0; i < 3; i++)
		node_forget(nodes.t, files[i], 1);
	options_free(&fs.opt);
	nodes_fini(&nodes);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	REQUIRE(nodes_init(&nodes, 16), "no backing directory");
	REQUIRE(mkdirat(nodes.b.fd, "d", 0700) == 0 && symlinkat("f", nodes.b.fd, "l") == 0, "%m");
	REQUIRE(options_parse(&fs.opt, "rule=*.d:direct", NULL, 0) == 0, "options");
	fs.root_fd = nodes.b.fd;
	fs.ledgers = nodes.ledgers;
	fs.mrc = mrc_new(MRC_BYTES, (uint32_t)fs.opt.pool_page_bytes);
	REQUIRE(fs.mrc, "no memory");
	fs.nodes = nodes.t;
	fs.root = nodes.root;
	files[0] = nodes_make(&nodes, "f", "text");
	files[1] = nodes_look(&nodes, "d");
	files[2] = nodes_look(&nodes, "l");
	files[3] = nodes.root;
	for (size_t i = 0; i < 4; i++)
		REQUIRE(files[i], "file %zu", i);
	return atexit(clean_up);
}

/* One of those there are, or any, with the prefix or without. */
static void take_name(struct input *in, char *name, size_t name_bytes)
{
	char tail[VALUE_BYTES];
	size_t names_bytes;
	const char *listed = render_names(&names_bytes);
	unsigned which = input_u8(in);

	if (which >= 128) {
		input_text(in, tail, sizeof(tail));
		(void)snprintf(name, name_bytes, "%s%s", which & 1 ? ZCFS_XATTR_PREFIX : "", tail);
		return;
	}
	for (; which > 0 && listed[strlen(listed) + 1]; which--)
		listed += strlen(listed) + 1;
	(void)snprintf(name, name_bytes, "%s", listed);
}

static bool is_listed(const char *name)
{
	size_t left;

	for (const char *at = render_names(&left), *end = at + left; at < end; at += strlen(at) + 1)
		if (strcmp(at, name) == 0)
			return true;
	return false;
}

static void check_get(struct node *n, const char *name)
{
	char *text = NULL;
	ssize_t len = xattr_own_get(&fs, n, name, &text);

	REQUIRE(len >= 0 || len == -ENODATA, "%s: %zd", name, len);
	REQUIRE((len >= 0) == (is_listed(name) && n != files[2]), "%s: %zd", name, len);
	if (len >= 0) {
		REQUIRE(text && strlen(text) == (size_t)len, "%s", name);
		REQUIRE(strcmp(name, ZCFS_XATTR_JSON) != 0 || json_is_valid(text), "%s", text);
	}
	free(text);
}

/* A path's name, perhaps with the newline of an echo behind it. */
static bool is_path_value(const char *value, size_t len)
{
	if (len > 0 && value[len - 1] == '\n')
		len--;
	for (int id = 0; id < PATH_ID_COUNT; id++) {
		const char *name = path_id_name((enum path_id)id);
		if (strlen(name) == len && memcmp(name, value, len) == 0)
			return true;
	}
	return false;
}

static int expected_set(const struct node *n, uid_t uid, const char *name, const char *value,
			size_t len, int flags)
{
	bool is_path = strcmp(name, ZCFS_XATTR_PATH) == 0 && n == files[0];
	bool is_reset = strcmp(name, ZCFS_XATTR_RESET) == 0 && n != files[2];

	if (!is_path && !is_reset)
		return -EOPNOTSUPP;
	if (flags & XATTR_CREATE)
		return -EEXIST;
	if (uid != 0 && uid != getuid()) /* the files are this process's own */
		return -EPERM;
	return is_path && !is_path_value(value, len) ? -EINVAL : 0;
}

static void check_set(struct input *in, struct node *n, const char *name)
{
	char text[VALUE_BYTES];
	int flags = (int)input_bits(in, 1);
	uid_t uid = input_u8(in) ? 12345 : 0;
	size_t len = input_text(in, text, sizeof(text));
	char *value = malloc(len ? len : 1); /* without NUL, as the kernel sends it */

	REQUIRE(value, "no memory");
	memcpy(value, text, len);
	int rc = xattr_own_set(&fs, n, uid, name, value, len, flags);
	int expected = expected_set(n, uid, name, value, len, flags);
	REQUIRE(rc == expected, "%s=%s: %d, not %d", name, text, rc, expected);
	free(value);
}

static void check_rendering(struct input *in)
{
	static struct counters_snapshot s, others;
	char path[VALUE_BYTES], io_mode[VALUE_BYTES], name[VALUE_BYTES];
	struct render_head head = {.title = "file", .path = path, .io_mode = io_mode};
	char *value = NULL;

	take_name(in, name, sizeof(name));
	input_text(in, path, sizeof(path));
	input_text(in, io_mode, sizeof(io_mode));
	memset(&s, 0, sizeof(s));
	if (input_u8(in) & 1)
		head.others = &others;
	head.merged = input_u8(in);
	while (in->left_bytes > 0) {
		unsigned row = input_u8(in);
		if (row < CTR_COUNT)
			s.sum[row] = input_number(in);
		else
			s.hist[row % HIST_COUNT].bucket[input_below(in, HISTOGRAM_BUCKETS)] =
				input_number(in);
		s.hist[row % HIST_COUNT].max = input_number(in);
	}
	char *json = render_json(&head, &s), *text = render_text(&head, &s);
	REQUIRE(json && json_is_valid(json), "%s", json ? json : "no memory");
	REQUIRE(text && strchr(text, '\n'), "%s", text ? text : "no memory");
	size_t prefix = sizeof(ZCFS_XATTR_PREFIX) - 1;
	bool is_ours = xattr_own_is(name);
	int rc = render_value(is_ours ? name + prefix : name, &s, &value);
	REQUIRE(rc == -ENODATA || (rc == 0 && value), "%s: %d", name, rc);
	free(value);
	free(text);
	free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = input_of(data, size);
	unsigned what = input_below(&in, 3);
	struct node *n = files[input_below(&in, 4)];
	char name[VALUE_BYTES + sizeof(ZCFS_XATTR_PREFIX)];

	if (what == 2) {
		check_rendering(&in);
		return 0;
	}
	take_name(&in, name, sizeof(name));
	REQUIRE(xattr_own_is(name) == (strncmp(name, "user.zcfs.", 10) == 0), "%s", name);
	if (!xattr_own_is(name))
		return 0;
	if (what == 1)
		check_set(&in, n, name);
	check_get(n, name);
	return 0;
}
