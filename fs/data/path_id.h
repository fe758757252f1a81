/*
 * The data paths' names and numbers. Generated from meson's list `paths`, so that a new path is one file and
 * one word. PATH_ID_AUTO chooses per request: direct while the open has O_DIRECT, else splice (path_resolve()).
 */
#ifndef ZCFS_DATA_PATH_ID_H
#define ZCFS_DATA_PATH_ID_H

#include <string.h>

enum path_id {
	PATH_ID_AUTO,
#define PATH(name) PATH_ID_##name,
#include "paths.def"
#undef PATH
	PATH_ID_COUNT
};

/* "auto", "splice", ...; id in range. */
static inline const char *path_id_name(enum path_id id)
{
	static const char *const names[PATH_ID_COUNT] = {
		[PATH_ID_AUTO] = "auto",
#define PATH(name) [PATH_ID_##name] = #name,
#include "paths.def"
#undef PATH
	};
	return names[id];
}

/* The id with that name, or PATH_ID_COUNT if there is none. */
static inline enum path_id path_id_parse(const char *name)
{
	for (int id = 0; id < PATH_ID_COUNT; id++)
		if (strcmp(path_id_name((enum path_id)id), name) == 0)
			return (enum path_id)id;
	return PATH_ID_COUNT;
}

#endif
