// Position: where a part of a tensor begins that only a run knows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "plan/place.h"

namespace mw::plan {

// Thread-safe; offset() does not allocate.
class Position {
 public:
  Position() = default;
  virtual ~Position() = default;
  Position(const Position&) = delete;
  Position& operator=(const Position&) = delete;

  // Bytes from the first element of the tensor to that of the part. `integers`: the elements of
  // each of MovingPart::integers, which the host sees. Throws invalid_model where the part does not
  // lie within the tensor.
  [[nodiscard]] virtual int64_t offset(std::span<const std::byte* const> integers) const = 0;
};

// A part of an operand that begins where a run says.
struct MovingPart {
  static constexpr size_t kMaxIntegers = 2;
  Place place;                        // as it lies where it begins at the first element
  std::vector<std::string> integers;  // inputs that its position depends on, at most kMaxIntegers
  std::shared_ptr<const Position> position;
};

}  // namespace mw::plan
