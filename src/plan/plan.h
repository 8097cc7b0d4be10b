// Plan: a specialised function as a list of steps over one arena. Immutable; shared by concurrent
// runs.
//
//   plan::Request request{platform, &pool};
//   std::shared_ptr<const plan::Plan> plan = plan::make(std::move(function), request);
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ir/op_def.h"
#include "plan/kernel.h"
#include "plan/place.h"
#include "plan/platform.h"
#include "plan/position.h"

namespace mw::passes {
class Watch;
}

namespace mw::plan {

class ConstantPool;
struct Account;
struct Plan;

// Where a value is found during a run.
struct Where {
  enum class Kind : uint8_t {
    kNone,
    kPlace,     // in a buffer, type known
    kSlot,      // a Datum of the run: lists, states, strings and data-dependent shapes
    kConstant,  // a constant that has no place: strings and sub-byte integers
  };
  Kind kind = Kind::kNone;
  Place place;
  int slot = -1;
  Tensor constant;
};

struct Buffer {
  // kWindow: a part of another buffer; a step of the run says where it begins.
  enum class Kind : uint8_t { kArena, kConstant, kInput, kOutput, kState, kWindow };
  Kind kind = Kind::kArena;
  int64_t bytes = 0;
  int index = -1;                         // of the input (a state is one) or output
  Tensor constant;                        // kConstant: its elements, on the host ...
  std::shared_ptr<const std::byte> data;  // ... and where they lie in the memory of the device
  int first = -1, last = -1;              // steps that use it
  int shares = -1;                        // an earlier buffer whose memory this one takes over
  int within = -1;                        // kWindow: the buffer that it is a part of
};

// An operation run by its reference implementation.
struct ReferenceCall {
  const ir::Operation* op = nullptr;
  const ir::OpDef* def = nullptr;
  ir::Opset opset = ir::Opset::kIos15;
  bool infers = false;  // result types depend on data
  std::vector<std::pair<const ir::Value*, Where>> operands;
  std::vector<Where> results;
  std::vector<std::shared_ptr<const Plan>> blocks;
};

// Where a window begins.
struct Locating {
  int window = -1;              // buffer
  Ref first;                    // of what it is a part of: its beginning at position 0
  std::vector<Place> integers;  // without gaps
  std::shared_ptr<const Position> position;
};

// Exactly one of `kernel`, `call` and `locating` is set. Who touches a window touches all that it
// is a part of: `reads` and `writes` name both.
struct Step {
  const ir::Operation* op = nullptr;  // what it computes, or the reader a copy was made for
  const char* kind = "";              // "gemm", "row", "copy", "position", "reference", ...
  std::shared_ptr<const Kernel> kernel;
  std::shared_ptr<const ReferenceCall> call;
  std::shared_ptr<const Locating> locating;
  std::vector<int> reads, writes;  // buffers
  double flops = 0, bytes = 0;
  // Bytes that it writes without having computed them: copies, fills, other dtypes of the same.
  int64_t copied = 0;
  bool vanishes = false;  // a copy with nothing to do where both buffers are the same memory
  std::shared_ptr<const Account> account;  // of a described plan
};

struct Input {
  const ir::Value* value = nullptr;  // an argument, or for a nested block a value from outside
  Where where;
  bool is_state = false;
  int state_buffer = -1;          // of a state whose steps use its memory directly
  std::vector<int> written_over;  // other buffers of kind kState with the same memory
  bool written = false;           // by such steps
};

struct Output {
  std::string name;
  ir::Type type;
  Where where;  // a place in a buffer of kind kOutput, a slot, or a constant
};

// Offsets of the arena buffers. A plan for smaller extents can use the layout of a larger one.
struct Layout {
  struct Item {
    Buffer::Kind kind = Buffer::Kind::kArena;
    int64_t bytes = 0, offset = 0;
    int first = -1, last = -1, shares = -1;
  };
  std::vector<Item> items;
  int64_t arena_bytes = 0;
};

struct Plan {
  // Of the outermost plan. Plans for other extents may share it: what the steps of a plan read of
  // it does not change.
  std::shared_ptr<const ir::Function> function;
  const Backend* backend = nullptr;  // the device in whose memory all buffers lie
  std::vector<Buffer> buffers;
  std::vector<Step> steps;
  std::vector<Input> inputs;  // arguments first, then what a nested block captures
  size_t argument_count = 0;
  std::vector<Output> outputs;  // block outputs first, then taps
  int slot_count = 0;
  std::shared_ptr<const Layout> layout;
  bool reuses_layout = false;
  bool described = false;                          // to be read, not run
  std::vector<std::shared_ptr<const void>> keeps;  // entries of the constant pool
  std::vector<ir::ConstantPtr> weights;            // constants that steps read where they lie
};

struct Request {
  Platform platform;
  ConstantPool* pool = nullptr;
  int slots = 0;                  // workers that a kernel may use at once; 0: as the device has it
  std::vector<std::string> taps;  // globs over value names; matching values become outputs
  // A plan to be read: for two workers and products of no particular library, thus the same on
  // every machine; with an account of every step. It cannot be run.
  bool described = false;
  passes::Watch* watch = nullptr;  // may be null
  // Tried first: taken over when the plan has the same structure and fits.
  std::shared_ptr<const Layout> layout;
};

std::shared_ptr<const Plan> make(std::unique_ptr<ir::Function> function, const Request& request);

// Assigns arena offsets, or takes those of `reuse` when it fits.
void assign_memory(Plan& plan, const std::shared_ptr<const Layout>& reuse);

}  // namespace mw::plan
