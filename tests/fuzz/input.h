/*
 * A fuzzer's input as a stream of decisions: bytes are taken from its front, and behind its end come zeros, so that any input
 * decodes to something. Header only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What must hold whatever the input; a failure ends the program, which the fuzzer takes for a crash. */
#define REQUIRE(condition, ...)                                                                 \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: failed: %s: ", __FILE__, __LINE__, #condition); \
			fprintf(stderr, __VA_ARGS__);                                           \
			fputc('\n', stderr);                                                    \
			abort();                                                                \
		}                                                                               \
	} while (0)

/* What libFuzzer calls. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

struct input {
	const uint8_t *at;
	size_t left_bytes;
};

static inline struct input input_of(const uint8_t *data, size_t size)
{
	return (struct input){.at = data, .left_bytes = size};
}

static inline uint8_t input_u8(struct input *in)
{
	if (in->left_bytes == 0)
		return 0;
	in->left_bytes--;
	return *in->at++;
}

/* bytes: 1 to 8 */
static inline uint64_t input_bits(struct input *in, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)input_u8(in) << 8 * i;
	return value;
}

/* Any number; the first byte says how it is written, so that the interesting ones are near. */
static inline uint64_t input_number(struct input *in)
{
	static const uint64_t edges[] = {
		0,          511,        512,       4095,       4096,       4097,      32767,
		32768,      65536,      131072,    150000,     262144,     INT32_MAX, UINT32_MAX,
		1ULL << 32, 1ULL << 40, INT64_MAX, 1ULL << 63, UINT64_MAX, 8388608,
	};
	uint8_t kind = input_u8(in);

	if (kind < 128)
		return kind;
	if (kind < 160)
		return input_bits(in, 2);
	if (kind < 176)
		return input_bits(in, 4);
	if (kind < 184)
		return input_bits(in, 8);
	return edges[(kind - 184U) % (sizeof(edges) / sizeof(edges[0]))] +
	       (uint64_t)(int64_t)(int8_t)input_u8(in);
}

/* Less than limit (1 to 256). */
static inline unsigned input_below(struct input *in, unsigned limit)
{
	return input_u8(in) % limit;
}

/* A length byte and so many bytes of the input, or as many as there are, NUL-terminated in buf; how many. */
static inline size_t input_text(struct input *in, char *buf, size_t buf_bytes)
{
	size_t len = input_u8(in);

	if (len > buf_bytes - 1)
		len = buf_bytes - 1;
	if (len > in->left_bytes)
		len = in->left_bytes;
	if (len > 0)
		memcpy(buf, in->at, len);
	buf[len] = '\0';
	in->at += len;
	in->left_bytes -= len;
	return len;
}

/* A copy of all that is left, as a string: malloc'd, so that reading behind its end is seen. */
static inline char *input_rest(struct input *in)
{
	char *text = malloc(in->left_bytes + 1);

	REQUIRE(text, "no memory");
	if (in->left_bytes > 0)
		memcpy(text, in->at, in->left_bytes);
	text[in->left_bytes] = '\0';
	in->left_bytes = 0;
	return text;
}
