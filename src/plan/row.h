// RowProgram: a chain of elementwise ops and last-axis reductions as one pass over rows of a
// tensor.
//
// The tensor is walked as rows x width. A value of the program is full (an element per element),
// per row (one number for each row) or uniform (one number). Backends turn a program into a kernel
// that keeps a tile of rows in cache and applies one instruction after the other to it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "ir/op_view.h"
#include "plan/kernel.h"
#include "plan/place.h"

namespace mw::plan {

// Instructions; a and b are operands, alpha and beta immediate numbers.
enum class RowOp : uint8_t {
  // one float operand
  kCopy,  // also makes a full value of a number per row
  kNeg,
  kAbs,
  kSign,
  kSquare,
  kSqrt,
  kRsqrt,
  kInverse,
  kExp,
  kExp2,
  kLog,
  kTanh,
  kSigmoid,
  kSilu,
  kSoftplus,
  kSoftsign,
  kErf,
  kGelu,
  kGeluTanh,
  kGeluSigmoid,
  kRelu,
  kElu,              // a < 0 ? alpha (e^a - 1) : a
  kLeakyRelu,        // a < 0 ? alpha a : a
  kThresholdedRelu,  // a < alpha ? 0 : a
  kClip,             // min(max(a, alpha), beta)
  kAffine,           // alpha a + beta
  kCeil,
  kFloor,
  kRound,
  kSin,
  kCos,
  kTan,
  kAsin,
  kAcos,
  kAtan,
  kAtanh,
  kSinh,
  kCosh,
  // conversions
  kNot,
  kToFloat,
  kToInt,
  kToBool,
  kIntToBool,
  kRoundHalf,  // to the nearest fp16
  kRoundBf16,  // to the nearest bf16
  // two operands
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMax,
  kMin,
  kPow,
  kFloorDiv,
  kMod,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kAddInt,
  kSubInt,
  kMulInt,
  kMaxInt,
  kMinInt,
  kEqualInt,
  kNotEqualInt,
  kLessInt,
  kLessEqualInt,
  kAnd,
  kOr,
  kXor,
  // three
  kMulAdd,  // a b + c
  kSelect,  // a ? b : c
  // a full operand to a number per row
  kRowSum,
  kRowMean,
  kRowSumSquares,
  kRowSumAbs,
  kRowMax,
  kRowMin,
  // The same, but where the number b of a row, which was computed in fp32, is beyond where squares
  // and sums are exact enough: then it is computed anew in fp64. b is one per row.
  kRowNorm,    // sqrt(sum a^2)
  kRowRstd,    // 1 / sqrt(variance of a + alpha)
  kRowLogSum,  // log(sum a)
};

// What a register lane holds; a bool is the int32 0 or 1.
enum class Lane : uint8_t { kF32, kI32, kBool };

struct RowProgram {
  enum class Form : uint8_t { kFull, kPerRow, kUniform };
  struct Value {
    Lane lane = Lane::kF32;
    Form form = Form::kFull;
  };
  // Memory: `outer` strides in elements and the stride along the width, 1 or (an operand that is
  // the same along a row) 0.
  struct Operand {
    int value = -1;
    Ref ref;
    DType dtype = DType::kF32;
    Strides outer;
    int64_t inner = 1;
  };
  struct Constant {
    int value = -1;
    float number = 0;  // lane kF32
    int32_t integer = 0;
  };
  struct Instruction {
    RowOp op = RowOp::kCopy;
    int to = -1;
    std::array<int, 3> from{-1, -1, -1};
    float alpha = 0, beta = 0;
  };

  Shape outer;
  int64_t width = 1;
  bool whole_rows = false;  // a row must be seen at once
  std::vector<Value> values;
  std::vector<Constant> constants;
  std::vector<Operand> inputs, outputs;
  std::vector<Instruction> code;  // single assignment, in order
};

// The shape an op walks over, and how many of its last axes it reduces over.
struct RowDomain {
  Shape shape;
  size_t reduced = 0;
};

// What an op's rule writes its part of a program with. Values are numbered.
class RowBuilder {
 public:
  virtual ~RowBuilder() = default;
  virtual int in(std::string_view input, size_t index = 0) = 0;
  [[nodiscard]] virtual int64_t width() const = 0;
  int number(double value);
  int integer(int32_t value);
  int emit(RowOp op, int a) { return emit(op, From{a, -1}); }
  // Of several operands: emit(op, {b.in("x"), b.in("y")}). What stands in braces is written from
  // left to right; of arguments that call the builder each compiler has an order of its own.
  struct From {
    int a, b, c = -1;
  };
  int emit(RowOp op, From from);
  int emit_with(RowOp op, int a, double alpha, double beta = 0);
  // kRowNorm, kRowRstd or kRowLogSum of `a`, where `fast` is what fp32 made of it.
  int emit_checked(RowOp op, int a, int fast, double alpha = 0);
  virtual void result(int value) = 0;
  [[nodiscard]] Lane lane(int value) const;

 protected:
  int add_value(Lane lane, RowProgram::Form form);
  // The same numbers, one per element.
  int spread(int value);
  [[nodiscard]] bool uniform(int value) const;
  RowProgram program_;
};

struct RowRule {
  // nullopt: this op cannot be part of a program.
  std::function<std::optional<RowDomain>(const ir::OpView&)> domain;
  std::function<void(RowBuilder&, const ir::OpView&)> emit;
};

bool is_reduction(RowOp op);
// Whether the result is the operand in another dtype, or repeated.
bool is_conversion(RowOp op);
std::string_view name_of(RowOp op);  // "mul_add"
// The lane of a result of `op` over operands of lane `a`.
Lane lane_of(RowOp op, Lane a);

}  // namespace mw::plan
