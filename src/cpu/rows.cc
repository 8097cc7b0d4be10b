// Row programs on the CPU: a tile at a time, one SIMD loop per instruction over the tile.
//
// Tiles are small: what is read and written then advances in all operands at once, as processors
// fetch memory best, and the registers of a program, in a workspace per thread, stay in the nearest
// cache. Operands in memory of 4-byte elements are read where they lie, and results are computed
// where they go.
#include "cpu/rows.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "cpu/parallel.h"
#include "cpu/primitives.h"
#include "cpu/row_registers.h"

namespace mw::cpu {
namespace {

using plan::Frame;
using plan::Ref;
using plan::RowOp;
using plan::RowProgram;
using Form = RowProgram::Form;

constexpr int64_t kTile = 192;          // elements of a tile that is a part of a row
constexpr int64_t kRowsTile = 1024;     // of one that is of several rows
constexpr int64_t kUnitWork = 1 << 16;  // element-instructions that a thread takes at once
constexpr int64_t kAlignFloats = 16;

int64_t round_up(int64_t floats) {
  return (floats + kAlignFloats - 1) / kAlignFloats * kAlignFloats;
}

// Where a value of the tile at hand lies.
struct Lanes {
  float* data = nullptr;
  int64_t stride = 0;  // from a row to the next: 1 where there is a number per row, else 0 or more

  [[nodiscard]] float* at(int64_t row) const { return data + row * stride; }
};

struct Step {
  RowProgram::Instruction code;
  Form form = Form::kFull;
  int operands = 1;
  std::array<int, 3> from{};  // the first once more where there are fewer
  bool repeats = false;       // a copy of a number per row to all elements of the row
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
  struct Rectangle {
    int64_t outer = 0;  // index over all outer axes but the last
    int64_t row = 0, rows = 0, column = 0, columns = 0;
  };
  // An operand in memory.
  struct Memory {
    int value = -1;
    int64_t row_bytes = 0, column_bytes = 0;
    bool direct = false, per_row = false;
    LoadLoop load = nullptr;
    StoreLoop store = nullptr;
  };

  void choose_steps();
  void choose_registers();
  void choose_tiles();
  void choose_memory();
  [[nodiscard]] Rectangle unit_at(int64_t unit) const;
  [[nodiscard]] std::byte* at(const Frame& frame, const RowProgram::Operand& operand,
                              const Rectangle& unit) const;
  void place_registers(float* registers, Lanes* lanes) const;
  void run_unit(const Frame& frame, std::byte** bases, Lanes* lanes, const Rectangle& unit) const;
  void load(std::byte* const* bases, Lanes* lanes, const Rectangle& tile) const;
  void store(std::byte* const* bases, const Lanes* lanes, const Rectangle& tile) const;
  void execute_tile(const Lanes* lanes, const Rectangle& tile) const;
  void execute_per_row(const Step& step, const Lanes* lanes, const Rectangle& tile) const;
  void execute_full(const Step& step, const Lanes* lanes, const Rectangle& tile) const;
  static void apply(const Step& step, const float* a, const float* b, const float* c, float* y,
                    size_t count);
  [[nodiscard]] bool one_run(const Step& step, const Lanes* lanes, const Rectangle& tile) const;

  RowProgram program_;
  std::vector<Step> steps_;
  std::vector<float> constants_;
  std::vector<int> constant_of_;  // by value; -1: none
  RowRegisters registers_;
  int64_t rows_ = 1;  // extent of the last outer axis
  std::vector<Memory> inputs_, outputs_;
  int64_t tile_rows_ = 1, tile_columns_ = 1;
  int64_t unit_rows_ = 1, unit_columns_ = 1, row_units_ = 1, column_units_ = 1, units_ = 0;
  int64_t bases_bytes_ = 0, lanes_bytes_ = 0, slot_bytes_ = 0;
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
  choose_memory();
  const auto lines = [](size_t bytes) { return static_cast<int64_t>((bytes + 63) / 64 * 64); };
  bases_bytes_ = lines((inputs_.size() + outputs_.size()) * sizeof(std::byte*));
  lanes_bytes_ = lines(program_.values.size() * sizeof(Lanes));
  slot_bytes_ =
      bases_bytes_ + lanes_bytes_ + registers_.floats * static_cast<int64_t>(sizeof(float));
  slots_ = workspace.slots;
  workspace_ = workspace.reserve(slot_bytes_ * slots_);
}

void RowKernel::choose_steps() {
  for (const auto& code : program_.code) {
    Step& step = steps_.emplace_back();
    step.code = code;
    step.form = program_.values[static_cast<size_t>(code.to)].form;
    step.operands = code.from[2] >= 0 ? 3 : code.from[1] >= 0 ? 2 : 1;
    for (size_t k = 0; k < 3; ++k) step.from[k] = code.from[k] >= 0 ? code.from[k] : code.from[0];
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
      step.repeats = step.form == Form::kFull && full_scalars != 0;
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
  const int64_t width = program_.width, elements = program_.whole_rows ? kRowsTile : kTile;
  const bool of_rows = program_.whole_rows || width < kTile;
  tile_columns_ = of_rows ? width : kTile;
  tile_rows_ = of_rows ? std::clamp<int64_t>(elements / width, 1, rows_) : 1;
  const auto instructions = static_cast<int64_t>(std::max<size_t>(steps_.size(), 1));
  const int64_t at_once = std::max(kUnitWork / instructions / kTile * kTile, kTile);
  unit_columns_ = of_rows ? width : std::min(width, at_once);
  unit_rows_ = std::clamp(at_once / unit_columns_ / tile_rows_ * tile_rows_, tile_rows_, rows_);
  row_units_ = (rows_ + unit_rows_ - 1) / unit_rows_;
  column_units_ = (width + unit_columns_ - 1) / unit_columns_;
  int64_t prefixes = 1;
  for (size_t i = 0; i + 1 < program_.outer.size(); ++i) prefixes *= program_.outer[i];
  units_ = prefixes * row_units_ * column_units_;
}

// The sizes depend on the program and the width alone: a plan for fewer rows or narrower ones then
// fits into the memory of a larger one.
void RowKernel::choose_registers() {
  const int64_t per_row = round_up(program_.whole_rows ? kRowsTile : kTile);
  // Registers a power of two apart would meet in the same few lines of cache.
  const int64_t full = std::max(per_row, round_up(tile_columns_)) + kAlignFloats;
  registers_ = assign_registers(program_, full, per_row);
}

void RowKernel::choose_memory() {
  const auto memory_of = [&](const RowProgram::Operand& operand) {
    const int64_t item = bit_width(operand.dtype) / 8;
    Memory memory;
    memory.value = operand.value;
    memory.row_bytes = operand.outer.back() * item;
    memory.column_bytes = operand.inner * item;
    memory.per_row = operand.inner == 0;
    return memory;
  };
  for (const auto& input : program_.inputs) {
    Memory& memory = inputs_.emplace_back(memory_of(input));
    memory.direct = input.inner == 1 && is_word(input.dtype);
    memory.load = load_loop(input.dtype);
  }
  for (const auto& output : program_.outputs) {
    Memory& memory = outputs_.emplace_back(memory_of(output));
    memory.direct = registers_.output[static_cast<size_t>(output.value)] >= 0;
    memory.store = store_loop(output.dtype);
  }
}

RowKernel::Rectangle RowKernel::unit_at(int64_t unit) const {
  Rectangle found;
  const int64_t column = unit % column_units_;
  unit /= column_units_;
  found.row = unit % row_units_ * unit_rows_;
  found.rows = std::min(unit_rows_, rows_ - found.row);
  found.column = column * unit_columns_;
  found.columns = std::min(unit_columns_, program_.width - found.column);
  found.outer = unit / row_units_;
  return found;
}

std::byte* RowKernel::at(const Frame& frame, const RowProgram::Operand& operand,
                         const Rectangle& unit) const {
  int64_t offset = unit.row * operand.outer.back() + unit.column * operand.inner;
  int64_t index = unit.outer;
  for (size_t axis = program_.outer.size() - 1; axis-- > 0;) {
    offset += index % program_.outer[axis] * operand.outer[axis];
    index /= program_.outer[axis];
  }
  return frame.at(operand.ref) + offset * (bit_width(operand.dtype) / 8);
}

void RowKernel::place_registers(float* registers, Lanes* lanes) const {
  for (size_t value = 0; value < program_.values.size(); ++value) {
    if (constant_of_[value] >= 0) {
      lanes[value] = {const_cast<float*>(&constants_[static_cast<size_t>(constant_of_[value])]), 0};
    } else if (registers_.offset[value] >= 0) {
      const bool is_full = program_.values[value].form == Form::kFull;
      lanes[value] = {registers + registers_.offset[value], is_full ? tile_columns_ : 1};
    }
  }
}

// Positions of tiles count from where their unit begins.
void RowKernel::run_unit(const Frame& frame, std::byte** bases, Lanes* lanes,
                         const Rectangle& unit) const {
  std::byte** base = bases;
  for (const auto& input : program_.inputs) *base++ = at(frame, input, unit);
  for (const auto& output : program_.outputs) *base++ = at(frame, output, unit);
  Rectangle tile;
  for (tile.row = 0; tile.row < unit.rows; tile.row += tile_rows_) {
    tile.rows = std::min(tile_rows_, unit.rows - tile.row);
    for (tile.column = 0; tile.column < unit.columns; tile.column += tile_columns_) {
      tile.columns = std::min(tile_columns_, unit.columns - tile.column);
      load(bases, lanes, tile);
      execute_tile(lanes, tile);
      store(bases + inputs_.size(), lanes, tile);
    }
  }
}

// Numbers per row are there from the first tile of the rows on.
void RowKernel::load(std::byte* const* bases, Lanes* lanes, const Rectangle& tile) const {
  const auto from = [&](const Memory& memory, const std::byte* base) {
    return base + tile.row * memory.row_bytes + tile.column * memory.column_bytes;
  };
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const Memory& memory = inputs_[i];
    const std::byte* first = from(memory, bases[i]);
    Lanes& to = lanes[memory.value];
    if (memory.direct) {
      to = {reinterpret_cast<float*>(const_cast<std::byte*>(first)),
            memory.row_bytes / int64_t{sizeof(float)}};
    } else if (!memory.per_row || tile.column == 0) {
      const auto count = static_cast<size_t>(memory.per_row ? 1 : tile.columns);
      for (int64_t row = 0; row < tile.rows; ++row) {
        memory.load(first + row * memory.row_bytes, to.at(row), count);
      }
    }
  }
  for (size_t o = 0; o < outputs_.size(); ++o) {
    if (!outputs_[o].direct) continue;
    const std::byte* first = from(outputs_[o], bases[inputs_.size() + o]);
    lanes[outputs_[o].value] = {reinterpret_cast<float*>(const_cast<std::byte*>(first)),
                                outputs_[o].row_bytes / int64_t{sizeof(float)}};
  }
}

void RowKernel::store(std::byte* const* bases, const Lanes* lanes, const Rectangle& tile) const {
  for (size_t o = 0; o < outputs_.size(); ++o) {
    const Memory& memory = outputs_[o];
    if (memory.direct || (memory.per_row && tile.column > 0)) continue;
    std::byte* to = bases[o] + tile.row * memory.row_bytes + tile.column * memory.column_bytes;
    const auto count = static_cast<size_t>(memory.per_row ? 1 : tile.columns);
    for (int64_t row = 0; row < tile.rows; ++row) {
      memory.store(lanes[memory.value].at(row), to + row * memory.row_bytes, count);
    }
  }
}

// Whether the rows of the tile lie one after the other in all operands, or are the same number.
bool RowKernel::one_run(const Step& step, const Lanes* lanes, const Rectangle& tile) const {
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

void RowKernel::apply(const Step& step, const float* a, const float* b, const float* c, float* y,
                      size_t count) {
  if (step.operands == 2) return step.binary(a, b, y, count);
  if (step.operands == 3) return step.ternary(a, b, c, y, count);
  if (!step.repeats) return step.unary(a, y, count, step.code.alpha, step.code.beta);
  std::fill_n(y, count, *a);
}

void RowKernel::execute_full(const Step& step, const Lanes* lanes, const Rectangle& tile) const {
  const auto& from = step.from;
  if (tile.rows == 1) {
    return apply(step, lanes[from[0]].data, lanes[from[1]].data, lanes[from[2]].data,
                 lanes[step.code.to].data, static_cast<size_t>(tile.columns));
  }
  const bool run = one_run(step, lanes, tile);
  const int64_t rows = run ? 1 : tile.rows;
  const auto count = static_cast<size_t>(run ? tile.rows * tile.columns : tile.columns);
  const Lanes& to = lanes[step.code.to];
  for (int64_t row = 0; row < rows; ++row) {
    apply(step, lanes[from[0]].at(row), lanes[from[1]].at(row), lanes[from[2]].at(row), to.at(row),
          count);
  }
}

void RowKernel::execute_per_row(const Step& step, const Lanes* lanes, const Rectangle& tile) const {
  const auto& code = step.code;
  const auto rows = static_cast<size_t>(tile.rows);
  float* y = lanes[code.to].data;
  const float* a = lanes[code.from[0]].data;
  if (step.reduce != nullptr) {
    const float* b = code.from[1] >= 0 ? lanes[code.from[1]].data : nullptr;
    for (int64_t row = 0; row < tile.rows; ++row) {
      y[row] = step.reduce(lanes[code.from[0]].at(row), static_cast<size_t>(tile.columns),
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

void RowKernel::execute_tile(const Lanes* lanes, const Rectangle& tile) const {
  for (const Step& step : steps_) {
    if (step.form == Form::kFull) {
      execute_full(step, lanes, tile);
    } else if (tile.column == 0) {
      execute_per_row(step, lanes, tile);
    }
  }
}

void RowKernel::run(const Frame& frame) const {
  parallel_blocks(units_, 1, slots_, [&](int slot, int64_t begin, int64_t end) {
    std::byte* own = frame.at(workspace_) + slot * slot_bytes_;
    auto** bases = reinterpret_cast<std::byte**>(own);
    auto* lanes = reinterpret_cast<Lanes*>(own + bases_bytes_);
    place_registers(reinterpret_cast<float*>(own + bases_bytes_ + lanes_bytes_), lanes);
    for (int64_t unit = begin; unit < end; ++unit) run_unit(frame, bases, lanes, unit_at(unit));
  });
}

}  // namespace

std::unique_ptr<plan::Kernel> make_rows(RowProgram program, const plan::Workspace& workspace) {
  return std::make_unique<RowKernel>(std::move(program), workspace);
}

}  // namespace mw::cpu
