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

// Throws out_of_memory "<what>: ..." when `bytes` are more than available_memory().
void expect_memory(int64_t bytes, std::string_view what);

std::string memory_text(int64_t bytes);  // "1.5 GB"

}  // namespace mw
