/*
 * What fsx.c knows of its file: the model in memory, the words the file is made of, the last operations, and the end with
 * all of that printed at the first difference. Every aligned word tells which operation wrote it and for which offset, so
 * that a difference says what stands there instead. For fsx.c alone.
 */
#ifndef ZCFS_TEST_FSX_MODEL_H
#define ZCFS_TEST_FSX_MODEL_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>

#include "pattern.h"
#include "random.h"

#define MODEL_BYTES (1UL << 20) /* the file never grows beyond */
#define LAST_OPS    50

static uint64_t seed, op_number;
static unsigned char *model, *scratch; /* MODEL_BYTES each; the model is zero from model_len on */
static size_t model_len;
static const char *path, *check_path, *mode_name = "mixed";
static bool may_lag; /* --lag */
static char last_ops[LAST_OPS][160];

#define SCRAMBLE   0x9e3779b97f4a7c15U
#define UNSCRAMBLE 0xf1de83e19937733dU /* SCRAMBLE times this is 1 */

/* The word at aligned offset off as operation op writes it; the steps of it can be undone. */
static inline uint64_t word_make(uint64_t op, uint64_t off)
{
	uint64_t x = op << 24 | off / 8;
	x = (x ^ x >> 32) * SCRAMBLE;
	return x ^ x >> 32;
}

static inline void word_print(FILE *out, const char *what, uint64_t word)
{
	uint64_t x = (word ^ word >> 32) * UNSCRAMBLE;
	x ^= x >> 32;
	fprintf(out, "  %s: %016llx, ", what, (unsigned long long)word);
	if (word == 0)
		fprintf(out, "zeros\n");
	else if (x >> 24 <= op_number)
		fprintf(out, "written by operation %llu for offset %llu\n",
			(unsigned long long)(x >> 24), (unsigned long long)(x & 0xffffff) * 8);
	else
		fprintf(out, "of more than one operation, or of none\n");
}

/* The next operation writes these bytes into the model. */
static inline void model_write(size_t off, size_t len)
{
	for (size_t i = off; i < off + len; i++)
		model[i] = (unsigned char)(word_make(op_number, i / 8 * 8) >> i % 8 * 8);
	if (len > 0 && off + len > model_len)
		model_len = off + len;
}

static inline void model_truncate(size_t len)
{
	if (len < model_len)
		memset(model + len, 0, model_len - len);
	model_len = len;
}

/* Writes down what the operation is, before it is carried out. */
__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
	char *line = last_ops[op_number % LAST_OPS];
	int n = snprintf(line, sizeof(last_ops[0]), "%llu: ", (unsigned long long)op_number);
	va_list args;
	va_start(args, format);
	vsnprintf(line + n, sizeof(last_ops[0]) - (size_t)n, format, args);
	va_end(args);
}

/* The end, with everything that it takes to come here again. */
__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...)
{
	int err = errno;
	va_list args;
	fprintf(stderr, "the last operations:\n");
	for (uint64_t i = op_number < LAST_OPS ? 0 : op_number - LAST_OPS + 1; i <= op_number; i++)
		fprintf(stderr, "  %s\n", last_ops[i % LAST_OPS]);
	fprintf(stderr, "fsx %s: operation %llu failed: ", path, (unsigned long long)op_number);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, " (errno %s, size of the model %zu)\nagain: --seed %llu --ops %llu %s%s\n",
		err ? strerrorname_np(err) : "none", model_len, (unsigned long long)seed,
		(unsigned long long)op_number, mode_name[0] == 'r' ? "--" : "--mode ", mode_name);
	exit(1);
}

#define CHECK(cond, ...)                   \
	do {                               \
		errno = 0;                 \
		if (!(cond))               \
			fail(__VA_ARGS__); \
	} while (0)

/* The aligned word around byte off of mem, of which `len` bytes are there; short of that, what there is. */
static inline uint64_t word_around(const unsigned char *mem, size_t off, size_t len)
{
	uint64_t word = 0;
	size_t from = off / 8 * 8;
	memcpy(&word, mem + from, len - from < sizeof(word) ? len - from : sizeof(word));
	return word;
}

/* mem is what `view` gave for the file's bytes from off on. */
static inline void compare(const unsigned char *mem, size_t off, size_t len, const char *view)
{
	if (memcmp(mem, model + off, len) == 0)
		return;
	size_t i = 0, different = 0;
	while (mem[i] == model[off + i])
		i++;
	for (size_t j = i; j < len; j++)
		different += mem[j] != model[off + j];
	unsigned char *whole = aligned_memory(MODEL_BYTES);
	memcpy(whole, model, MODEL_BYTES);
	memcpy(whole + off, mem, len);
	fprintf(stderr, "%s: byte %zu is %02x, not %02x; %zu bytes differ from there to %zu\n",
		view, off + i, mem[i], model[off + i], different, off + len);
	word_print(stderr, "expected", word_around(model, off + i, MODEL_BYTES));
	word_print(stderr, "got", word_around(whole, off + i, MODEL_BYTES));
	errno = 0;
	fail("%s differs at %zu", view, off + i);
}

#endif
