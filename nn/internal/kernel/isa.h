// What the isa_*.c files and parallel.c share.
#ifndef ENSUE_ISA_H
#define ENSUE_ISA_H

#include "kernels.h"

// The widest head that rotary position embedding takes.
enum { ENSUE_MAX_HEAD = 512 };
// Rows of a head are padded to this many floats, and keys to this many: a whole panel of every instruction set.
enum { ENSUE_PAD = 32 };

// At most so many queries' scores are in work at a time.
enum { ENSUE_STRIP = 12 };

// ENSUE_QUERIES rounded up to whole vectors.
enum { ENSUE_QUERIES_PADDED = (ENSUE_QUERIES + ENSUE_PAD - 1) / ENSUE_PAD * ENSUE_PAD };

// Sums over k go through blocks of about this length, so that a panel of weights and the rows beside it stay in a core's cache.
enum { ENSUE_DEPTH = 1024 };
static inline long ensue_depth_block(long k) {
  long blocks = (k + ENSUE_DEPTH - 1) / ENSUE_DEPTH;
  return blocks > 1 ? ((k + blocks - 1) / blocks + 15) / 16 * 16 : k;
}

// How many query tiles an attention has; they never straddle a block (see span_of).
long ensue_attention_tiles(const ensue_attention *);

extern const ensue_isa ensue_table_portable, ensue_table_avx2, ensue_table_avx512;

#endif
