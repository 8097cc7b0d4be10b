// Rows at the end of a matrix that hold nothing: a cache that is longer than the text in it.
#pragma once

#include <cstdint>

#include "cpu/dots.h"

namespace mw::cpu {

// How many rows are left without those at the end whose `width` elements are all +0. Reads from the
// end up to the first other row.
int64_t rows_before_zeros(StoredRows rows, int64_t count, int64_t width);
// Keys before those whose scores are zero and whose values add nothing, where queries are finite;
// at least 1. Of few keys all: none are left out.
int64_t keys_before_zeros(StoredRows keys, int64_t depth, StoredRows values, int64_t width,
                          int64_t count);

}  // namespace mw::cpu
