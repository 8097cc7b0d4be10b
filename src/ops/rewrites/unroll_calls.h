// unroll_calls(): a text that is given to a function call by call, as one function.
//
//   f(ids [1, 1], position) {                     g(text [1, ?]) {
//     ... read_state(cache) ...          =>         ids_0 = text[:, 0:1]  ... f's ops at position 0
//     ... write_state(cache) ...                    ids_1 = text[:, 1:2]  ... f's ops at position 1
//     return logits [1, 1, V] }                     return concat(logits_0, logits_1, axis = 1) }
//
// States that the function writes begin as zeros, and become values: what a call writes, the next
// one reads.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ir/op_def.h"

namespace mw::ops {

// One call of the function.
struct Call {
  int64_t begin = 0, count = 0, pads = 0;  // it takes tokens [begin, begin + count), and pads
  int64_t known = 0;                       // of its tokens those whose logits came before
  bool last_only = false;                  // it gives logits for its last token only
  TensorMap inputs;                        // all but the ids, and the caches of the first call
};

// One after another along the classes, the target.
struct CallOutput {
  std::string name;
  // Its axes with those of positions and classes last, in this order; empty: they lie so, or no
  // axis but the classes has more than one element.
  std::vector<int64_t> order;
  int64_t classes = 0;
};

struct TextOfCalls {
  // Names of the argument [1, time], which the function leaves free, and of the result
  // [1, time, classes].
  std::string text, target;
  std::string ids;  // argument of the function that takes the tokens
  std::vector<CallOutput> outputs;
  std::vector<std::pair<std::string, std::string>> caches;  // arguments, and the outputs after them
  std::vector<Call> calls;
  // In which states of floats are held: in that of the program, they round nothing.
  DType floats = DType::kF32;
  // Of what was written before a multiple of so many tokens no gradient comes back to the calls
  // behind it (truncated backpropagation through time); 0: of all it does.
  int64_t cut_every = 0;
};

// What depends on nothing but constants, and on states that the function does not write, is there
// once for all calls. Throws unsupported where an op with nested blocks reads or writes a state
// that the function writes.
std::unique_ptr<ir::Function> unroll_calls(const ir::Function& function, const ir::Catalog& catalog,
                                           const TextOfCalls& text);

}  // namespace mw::ops
