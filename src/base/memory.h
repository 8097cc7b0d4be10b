// How much memory this process may use, so that a model that asks for more gives an error and is
// not killed.
#pragma once

#include <cstdint>
#include <string_view>

namespace mw {

// Bytes of memory and swap of the machine, or of the control group where that allows less.
int64_t total_memory();
// What is left of it now.
int64_t available_memory();

// Bytes that a control group allows, has in use, and could give back of these (cached files). The
// kernel counts the three at different moments: what is cached may be more than what is in use.
struct MemoryGroup {
  int64_t limit, used, cached;
};
// What is left, of `machine` at most and at least 0.
int64_t available_in(const MemoryGroup& group, int64_t machine);

// Throws out_of_memory "<what>: ..." when `bytes` are more than available_memory().
void expect_memory(int64_t bytes, std::string_view what);

}  // namespace mw
