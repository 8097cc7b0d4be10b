// Row programs on the CPU: a tile of rows at a time, one SIMD loop per instruction over the tile.
//
// The registers of a program live in a workspace per thread, sized to stay in cache. Operands in
// memory of 4-byte elements are read where they lie, and results are computed where they go.
#include "cpu/rows.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "cpu/fetch.h"
#include "cpu/parallel.h"
#include "cpu/primitives.h"

namespace mw::cpu {
namespace {

using plan::Frame;
using plan::Ref;
using plan::RowOp;
using plan::RowProgram;
using Form = RowProgram::Form;

constexpr int64_t kRegisterBytes = 32 << 10;  // of all full registers of a tile
constexpr int64_t kLargestTile = 4096;        // elements
constexpr int64_t kBlockWork = 1 << 16;       // element-instructions per parallel block
constexpr int64_t kAlignFloats = 16;
constexpr size_t kFetched = 8;  // a program of so many instructions leaves time to fetch ahead

// Where a value of the tile at hand lies.
struct Lanes {
  float* data = nullptr;
  int64_t stride = 0;  // between rows, of a full value; per-row values are contiguous
};

bool is_word(DType dtype) { return dtype == DType::kF32 || dtype == DType::kI32; }

struct Step {
  RowProgram::Instruction code;
  Form form = Form::kFull;
  int operands = 1;
  UnaryLoop unary = nullptr;
  BinaryLoop binary = nullptr, binary_per_row = nullptr;
  TernaryLoop ternary = nullptr, ternary_per_row = nullptr;
  ReduceLoop reduce = nullptr;
};

class RowKernel : public plan::Kernel {
 public:
  RowKernel(RowProgram program, const plan::Workspace& workspace);
  void run(const Frame& frame) const override;

 private:
  // One rectangle of the walk: rows [row, row + rows) of the last outer axis, columns likewise.
  struct Tile {
    int64_t outer = 0;  // index over all outer axes but the last
    int64_t row = 0, rows = 0, column = 0, columns = 0;
  };

  void choose_steps();
  void choose_registers();
  void choose_tiles();
  [[nodiscard]] Tile tile_at(int64_t unit) const;
  [[nodiscard]] int64_t offset_of(const RowProgram::Operand& operand, const Tile& tile) const;
  void run_tile(const Frame& frame, float* registers, Lanes* lanes, const Tile& tile,
                const Tile& next) const;
  void prefetch(const Frame& frame, const RowProgram::Operand& input, const Tile& tile) const;
  void load(const Frame& frame, float* registers, Lanes* lanes, const Tile& tile) const;
  void store(const Frame& frame, const Lanes* lanes, const Tile& tile) const;
  void execute(const Step& step, const Lanes* lanes, const Tile& tile) const;
  void execute_full(const Step& step, const Lanes* lanes, const Tile& tile) const;
  [[nodiscard]] const float* at_row(const Lanes* lanes, int value, int64_t row) const;
  [[nodiscard]] bool one_run(const Step& step, const Lanes* lanes, const Tile& tile) const;

  RowProgram program_;
  std::vector<Step> steps_;
  std::vector<float> constants_;
  std::vector<int> constant_of_;   // by value; -1: none
  std::vector<int64_t> register_;  // by value: offset in floats in the workspace; -1: none
  std::vector<int> direct_;        // by value: output it is computed in; -1: none
  int64_t rows_ = 1;               // extent of the last outer axis
  int64_t tile_rows_ = 1, tile_columns_ = 1, row_tiles_ = 1, column_tiles_ = 1, units_ = 0;
  int64_t budget_ = 0;  // elements of a tile that suit the cache
  int64_t grain_ = 1, workspace_floats_ = 0, lanes_bytes_ = 0, slot_bytes_ = 0;
  int slots_ = 1;
  Ref workspace_;
};

RowKernel::RowKernel(RowProgram program, const plan::Workspace& workspace)
    : program_(std::move(program)) {
  if (program_.outer.empty()) {
    program_.outer = {1};
    for (auto& input : program_.inputs) input.outer = {0};
    for (auto& output : program_.outputs) output.outer = {0};
  }
  rows_ = program_.outer.back();
  constant_of_.assign(program_.values.size(), -1);
  for (const auto& constant : program_.constants) {
    float bits = constant.number;
    if (program_.values[static_cast<size_t>(constant.value)].lane != plan::Lane::kF32) {
      std::memcpy(&bits, &constant.integer, sizeof(bits));
    }
    constant_of_[static_cast<size_t>(constant.value)] = static_cast<int>(constants_.size());
    constants_.push_back(bits);
  }
  choose_steps();
  choose_tiles();
  choose_registers();
  lanes_bytes_ = static_cast<int64_t>(program_.values.size() * sizeof(Lanes) + 63) / 64 * 64;
  slot_bytes_ = lanes_bytes_ + workspace_floats_ * static_cast<int64_t>(sizeof(float));
  slots_ = workspace.slots;
  workspace_ = workspace.reserve(slot_bytes_ * slots_);
}

void RowKernel::choose_steps() {
  for (const auto& code : program_.code) {
    Step& step = steps_.emplace_back();
    step.code = code;
    step.form = program_.values[static_cast<size_t>(code.to)].form;
    step.operands = code.from[2] >= 0 ? 3 : code.from[1] >= 0 ? 2 : 1;
    unsigned full_scalars = 0, row_scalars = 0;
    for (int k = 0; k < step.operands; ++k) {
      const Form form =
          program_.values[static_cast<size_t>(code.from[static_cast<size_t>(k)])].form;
      if (form != Form::kFull) full_scalars |= 1u << k;
      if (form == Form::kUniform) row_scalars |= 1u << k;
    }
    const auto scalar = [](unsigned mask) {
      return mask == 1 ? Scalar::kFirst : mask == 2 ? Scalar::kSecond : Scalar::kNone;
    };
    if (plan::is_reduction(code.op)) {
      step.reduce = reduce_loop(code.op);
      MW_CHECK(step.reduce != nullptr);
    } else if (step.operands == 1) {
      step.unary = unary_loop(code.op);
      MW_CHECK(step.unary != nullptr);
    } else if (step.operands == 2) {
      step.binary = binary_loop(code.op, scalar(full_scalars));
      step.binary_per_row = binary_loop(code.op, scalar(row_scalars));
      MW_CHECK(step.binary != nullptr && step.binary_per_row != nullptr && row_scalars != 3);
    } else {
      step.ternary = ternary_loop(code.op, full_scalars);
      step.ternary_per_row = ternary_loop(code.op, row_scalars);
      MW_CHECK((step.form == Form::kFull ? step.ternary : step.ternary_per_row) != nullptr);
    }
  }
}

void RowKernel::choose_tiles() {
  int64_t full = 1;
  for (const auto& value : program_.values) full += value.form == Form::kFull ? 1 : 0;
  budget_ = std::clamp<int64_t>(
      kRegisterBytes / static_cast<int64_t>(sizeof(float)) / std::max<int64_t>(full / 2, 1), 256,
      kLargestTile);
  tile_columns_ = program_.whole_rows ? program_.width : std::min(program_.width, budget_);
  tile_rows_ = std::clamp<int64_t>(budget_ / std::max<int64_t>(tile_columns_, 1), 1, rows_);
  row_tiles_ = (rows_ + tile_rows_ - 1) / tile_rows_;
  column_tiles_ = (program_.width + tile_columns_ - 1) / tile_columns_;
  int64_t prefixes = 1;
  for (size_t i = 0; i + 1 < program_.outer.size(); ++i) prefixes *= program_.outer[i];
  units_ = prefixes * row_tiles_ * column_tiles_;
  const int64_t work =
      tile_rows_ * tile_columns_ * static_cast<int64_t>(std::max<size_t>(steps_.size(), 1));
  grain_ = std::max<int64_t>(1, kBlockWork / std::max<int64_t>(work, 1));
}

// A register is free again after the last instruction that reads its value.
void RowKernel::choose_registers() {
  const size_t count = program_.values.size();
  register_.assign(count, -1);
  direct_.assign(count, -1);
  std::vector<int> last(count, -1);
  for (size_t s = 0; s < steps_.size(); ++s) {
    for (const int from : steps_[s].code.from) {
      if (from >= 0) last[static_cast<size_t>(from)] = static_cast<int>(s);
    }
  }
  for (size_t o = 0; o < program_.outputs.size(); ++o) {
    const auto& output = program_.outputs[o];
    const auto value = static_cast<size_t>(output.value);
    last[value] = static_cast<int>(steps_.size());
    if (is_word(output.dtype) && output.inner == 1) direct_[value] = static_cast<int>(o);
  }
  const auto round_up = [](int64_t floats) {
    return (floats + kAlignFloats - 1) / kAlignFloats * kAlignFloats;
  };
  // The sizes depend on the program and the width alone: a plan for fewer rows or narrower ones
  // then fits into the memory of a larger one.
  const int64_t full = round_up(std::max(budget_, tile_columns_)), per_row = round_up(budget_);
  std::vector<int64_t> free_full, free_row;
  const auto take = [&](size_t value) {
    const bool is_full = program_.values[value].form == Form::kFull;
    auto& free = is_full ? free_full : free_row;
    if (!free.empty()) {
      register_[value] = free.back();
      free.pop_back();
      return;
    }
    register_[value] = workspace_floats_;
    workspace_floats_ += is_full ? full : per_row;
  };
  for (const auto& input : program_.inputs) {
    const auto value = static_cast<size_t>(input.value);
    direct_[value] = -1;
    if (input.inner == 0 || !is_word(input.dtype)) take(value);
  }
  for (size_t s = 0; s < steps_.size(); ++s) {
    const auto to = static_cast<size_t>(steps_[s].code.to);
    if (direct_[to] < 0) take(to);
    for (size_t value = 0; value < count; ++value) {
      if (last[value] != static_cast<int>(s) || register_[value] < 0) continue;
      (program_.values[value].form == Form::kFull ? free_full : free_row)
          .push_back(register_[value]);
    }
  }
}

RowKernel::Tile RowKernel::tile_at(int64_t unit) const {
  Tile tile;
  const int64_t column = unit % column_tiles_;
  unit /= column_tiles_;
  tile.row = unit % row_tiles_ * tile_rows_;
  tile.rows = std::min(tile_rows_, rows_ - tile.row);
  tile.column = column * tile_columns_;
  tile.columns = std::min(tile_columns_, program_.width - tile.column);
  tile.outer = unit / row_tiles_;
  return tile;
}

int64_t RowKernel::offset_of(const RowProgram::Operand& operand, const Tile& tile) const {
  int64_t offset = tile.row * operand.outer.back() + tile.column * operand.inner;
  int64_t index = tile.outer;
  for (size_t axis = program_.outer.size() - 1; axis-- > 0;) {
    offset += index % program_.outer[axis] * operand.outer[axis];
    index /= program_.outer[axis];
  }
  return offset;
}

void RowKernel::load(const Frame& frame, float* registers, Lanes* lanes, const Tile& tile) const {
  for (size_t value = 0; value < program_.values.size(); ++value) {
    if (constant_of_[value] >= 0) {
      lanes[value] = {const_cast<float*>(&constants_[static_cast<size_t>(constant_of_[value])]), 0};
    } else if (register_[value] >= 0) {
      lanes[value] = {registers + register_[value], tile.columns};
    }
  }
  for (const auto& input : program_.inputs) {
    const int64_t item = bit_width(input.dtype) / 8;
    const std::byte* from = frame.at(input.ref) + offset_of(input, tile) * item;
    const int64_t stride = input.outer.back();
    Lanes& to = lanes[input.value];
    if (input.inner == 1 && is_word(input.dtype)) {
      to = {reinterpret_cast<float*>(const_cast<std::byte*>(from)), stride};
      continue;
    }
    const LoadLoop convert = load_loop(input.dtype);
    const int64_t run = input.inner == 1 ? tile.columns : 1;
    for (int64_t row = 0; row < tile.rows; ++row) {
      convert(from + row * stride * item, to.data + row * run, static_cast<size_t>(run));
    }
  }
  for (const auto& output : program_.outputs) {
    if (direct_[static_cast<size_t>(output.value)] < 0) continue;
    std::byte* to = frame.at(output.ref) + offset_of(output, tile) * int64_t{sizeof(float)};
    lanes[output.value] = {reinterpret_cast<float*>(to), output.outer.back()};
  }
}

void RowKernel::store(const Frame& frame, const Lanes* lanes, const Tile& tile) const {
  for (const auto& output : program_.outputs) {
    if (direct_[static_cast<size_t>(output.value)] >= 0) continue;
    const int64_t item = bit_width(output.dtype) / 8;
    std::byte* to = frame.at(output.ref) + offset_of(output, tile) * item;
    const StoreLoop convert = store_loop(output.dtype);
    const auto run = static_cast<size_t>(output.inner == 1 ? tile.columns : 1);
    for (int64_t row = 0; row < tile.rows; ++row) {
      convert(at_row(lanes, output.value, row), to + row * output.outer.back() * item, run);
    }
  }
}

const float* RowKernel::at_row(const Lanes* lanes, int value, int64_t row) const {
  const Lanes& operand = lanes[value];
  switch (program_.values[static_cast<size_t>(value)].form) {
    case Form::kFull:
      return operand.data + row * operand.stride;
    case Form::kPerRow:
      return operand.data + row;
    case Form::kUniform:
      return operand.data;
  }
  return operand.data;
}

// Whether the rows of the tile lie one after the other in all operands, or are the same number.
bool RowKernel::one_run(const Step& step, const Lanes* lanes, const Tile& tile) const {
  if (tile.rows == 1) return true;
  if (lanes[step.code.to].stride != tile.columns) return false;
  for (int k = 0; k < step.operands; ++k) {
    const int from = step.code.from[static_cast<size_t>(k)];
    const Form form = program_.values[static_cast<size_t>(from)].form;
    if (form == Form::kPerRow) return false;
    if (form == Form::kFull && lanes[from].stride != tile.columns) return false;
  }
  return true;
}

void RowKernel::execute_full(const Step& step, const Lanes* lanes, const Tile& tile) const {
  const auto& code = step.code;
  const bool run = one_run(step, lanes, tile);
  const int64_t rows = run ? 1 : tile.rows;
  const auto count = static_cast<size_t>(run ? tile.rows * tile.columns : tile.columns);
  for (int64_t row = 0; row < rows; ++row) {
    const float* a = at_row(lanes, code.from[0], row);
    float* y = lanes[code.to].data + row * lanes[code.to].stride;
    if (step.operands == 1) {
      if (program_.values[static_cast<size_t>(code.from[0])].form == Form::kFull) {
        step.unary(a, y, count, code.alpha, code.beta);
      } else {
        std::fill_n(y, count, *a);  // only kCopy makes a full value of another form
      }
    } else if (step.operands == 2) {
      step.binary(a, at_row(lanes, code.from[1], row), y, count);
    } else {
      step.ternary(a, at_row(lanes, code.from[1], row), at_row(lanes, code.from[2], row), y, count);
    }
  }
}

void RowKernel::execute(const Step& step, const Lanes* lanes, const Tile& tile) const {
  if (step.form == Form::kFull) return execute_full(step, lanes, tile);
  const auto& code = step.code;
  const auto rows = static_cast<size_t>(tile.rows);
  float* y = lanes[code.to].data;
  const float* a = lanes[code.from[0]].data;
  if (step.reduce != nullptr) {
    const float* b = code.from[1] >= 0 ? lanes[code.from[1]].data : nullptr;
    for (int64_t row = 0; row < tile.rows; ++row) {
      y[row] = step.reduce(at_row(lanes, code.from[0], row), static_cast<size_t>(tile.columns),
                           b != nullptr ? b[row] : 0, code.alpha);
    }
  } else if (step.operands == 1) {
    const bool uniform = program_.values[static_cast<size_t>(code.from[0])].form == Form::kUniform;
    for (size_t row = 0; uniform && row < rows; ++row) {
      step.unary(a, y + row, 1, code.alpha, code.beta);
    }
    if (!uniform) step.unary(a, y, rows, code.alpha, code.beta);
  } else if (step.operands == 2) {
    const float* b = lanes[code.from[1]].data;
    step.binary_per_row(a, b, y, rows);
  } else {
    step.ternary_per_row(a, lanes[code.from[1]].data, lanes[code.from[2]].data, y, rows);
  }
}

// The memory that the tile will read of an operand.
void RowKernel::prefetch(const Frame& frame, const RowProgram::Operand& input,
                         const Tile& tile) const {
  const int64_t item = bit_width(input.dtype) / 8;
  const std::byte* from = frame.at(input.ref) + offset_of(input, tile) * item;
  for (int64_t row = 0; row < tile.rows && input.inner == 1; ++row) {
    fetch_ahead(from + row * input.outer.back() * item, tile.columns * item);
  }
}

// The operands of the `next`, which may have no rows, are fetched one by one meanwhile.
void RowKernel::run_tile(const Frame& frame, float* registers, Lanes* lanes, const Tile& tile,
                         const Tile& next) const {
  load(frame, registers, lanes, tile);
  const size_t count = steps_.size();
  size_t fetched = count < kFetched ? program_.inputs.size() : 0;
  for (size_t s = 0; s < count; ++s) {
    for (; fetched < program_.inputs.size() * (s + 1) / count; ++fetched) {
      prefetch(frame, program_.inputs[fetched], next);
    }
    execute(steps_[s], lanes, tile);
  }
  store(frame, lanes, tile);
}

void RowKernel::run(const Frame& frame) const {
  parallel_blocks(units_, grain_, slots_, [&](int slot, int64_t begin, int64_t end) {
    std::byte* own = frame.at(workspace_) + slot * slot_bytes_;
    auto* lanes = reinterpret_cast<Lanes*>(own);
    auto* registers = reinterpret_cast<float*>(own + lanes_bytes_);
    for (int64_t unit = begin; unit < end; ++unit) {
      run_tile(frame, registers, lanes, tile_at(unit),
               unit + 1 < units_ ? tile_at(unit + 1) : Tile());
    }
  });
}

}  // namespace

std::unique_ptr<plan::Kernel> make_rows(RowProgram program, const plan::Workspace& workspace) {
  return std::make_unique<RowKernel>(std::move(program), workspace);
}

}  // namespace mw::cpu
