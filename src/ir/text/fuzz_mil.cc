// Fuzzer: hostile MIL either parses or throws mw::Error, and what parses prints to a fixpoint.
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include "ir/text/text.h"
#include "millwright/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mw::ir;
  std::unique_ptr<Program> program;
  try {
    program = text::parse({reinterpret_cast<const char*>(data), size});
  } catch (const mw::Error& e) {
    if (e.code() == mw::ErrorCode::kInternal) throw;
    return 0;
  }
  for (const char* version : {"1.0", "1.3"}) {
    const std::string once = text::print(*program, {.version = version});
    const std::string twice = text::print(*text::parse(once), {.version = version});
    if (once != twice) {
      throw std::logic_error(fmt::format("not a fixpoint:\n{}\nthen:\n{}", once, twice));
    }
  }
  return 0;
}
