// Fuzzer: a program that verifies can be retyped and specialised, or gives mw::Error.
#include <cstddef>
#include <cstdint>
#include <memory>

#include "ir/text/text.h"
#include "ir/verify.h"
#include "millwright/error.hpp"
#include "ops/catalog.h"
#include "passes/precision.h"
#include "passes/specialise.h"

namespace {

// Extents for what a signature leaves open.
std::map<std::string, mw::Shape> small_shapes(const mw::ir::Function& function) {
  std::map<std::string, mw::Shape> shapes;
  for (const auto& argument : function.body.arguments) {
    if (!argument->type.is_tensor() || !argument->type.has_rank()) continue;
    mw::Shape shape = argument->type.shape();
    for (int64_t& extent : shape) extent = extent < 0 ? 3 : extent;
    shapes[argument->name] = shape;
  }
  return shapes;
}

void use(const mw::ir::Program& program) {
  const mw::ir::Catalog& catalog = mw::ops::catalog();
  mw::ir::verify(program, catalog);
  for (const auto& function : program.functions) {
    for (const auto compute : {mw::passes::kFp32, mw::passes::kFp16}) {
      const auto lowered = mw::passes::set_precision(*function, catalog, compute);
      (void)mw::passes::specialise(*lowered, catalog, {.shapes = small_shapes(*function)});
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    use(*mw::ir::text::parse({reinterpret_cast<const char*>(data), size}));
  } catch (const mw::Error& e) {
    if (e.code() == mw::ErrorCode::kInternal) throw;
  }
  return 0;
}
