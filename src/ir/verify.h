// verify(): checks a program against the rules of MIL and the declarations of its ops.
#pragma once

#include <string>
#include <vector>

#include "ir/op_def.h"

namespace mw::ir {

struct VerifyOptions {
  // Also check type domains and const inputs as Core ML demands them; the package writer asks for
  // it.
  bool strict = false;
};

// Throws invalid_model or unsupported with function and op as context: unknown op or input, missing
// input, a value used before it is defined or out of scope, a name defined twice in one block,
// result types that contradict inference, outputs that nothing defines.
void verify(const Program& program, const Catalog& catalog, const VerifyOptions& options = {});
void verify(const Function& function, const Catalog& catalog, const VerifyOptions& options = {});

// A declared type that was wrong in a known way; the value has the inferred type since.
struct Correction {
  const Value* value = nullptr;
  Type declared;
  [[nodiscard]] std::string text() const;  // "select 'm': declared tensor<fp32, []>, taken as ..."
};

// verify(), but declared types that converters are known to get wrong (OpDef::declared_as), and
// those that follow from them, are replaced by the inferred ones. Every other contradiction stays
// an error. verify() of a program that has such types passes, too.
std::vector<Correction> correct(Program& program, const Catalog& catalog,
                                const VerifyOptions& options = {});
std::vector<Correction> correct(Function& function, const Catalog& catalog,
                                const VerifyOptions& options = {});

}  // namespace mw::ir
