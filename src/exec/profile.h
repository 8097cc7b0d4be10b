// Profile: where the time of a session's runs went, by step.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mw::exec {

struct ProfileRow {
  std::string kind;  // "gemm", "row", "copy", "reference", ...
  std::string op;    // MIL's name of the operation; empty for copies of outputs
  std::string name;  // of the operation
  int64_t calls = 0;
  double seconds = 0;
  double flops = 0, bytes = 0;  // over all calls
  int64_t copied = 0;           // bytes written that were not computed, over all calls
};

struct Profile {
  std::vector<ProfileRow> rows;  // slowest first
  [[nodiscard]] double seconds() const;
  [[nodiscard]] double flops() const;
  [[nodiscard]] int64_t copied() const;
  // Share of all floating-point operations that ran in steps of this kind.
  [[nodiscard]] double flop_share(std::string_view kind) const;
  // Rows summed by kind, slowest first.
  [[nodiscard]] std::vector<ProfileRow> by_kind() const;
  void add(const ProfileRow& row);
};

}  // namespace mw::exec
