// The modes of MW_POISON and MW_GUARD, patterns, and memory between pages that cannot be touched.
#include "base/memory_checks.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace mw {
namespace {

// Each takes three mappings, of which Linux gives a process 65,530 (vm.max_map_count).
constexpr int64_t kMostGuarded = 16'384;
std::atomic<int64_t> guarded_pieces{0};

template <class Mode>
using Names = std::array<std::pair<std::string_view, Mode>, 4>;

template <class Mode>
Mode mode_of(const char* variable, const Names<Mode>& names) {
  const char* value = std::getenv(variable);
  if (value == nullptr || *value == '\0') return Mode::kNone;
  std::string known;
  for (const auto& [name, mode] : names) {
    if (name == value) return mode;
    if (!name.empty()) known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
  }
  fail(ErrorCode::kInvalidArgument, "environment variable {}: expected one of {}, got '{}'",
       variable, known, value);
}

void repeat(void* memory, int64_t bytes, uint64_t word, int64_t width) {
  auto* at = static_cast<std::byte*>(memory);
  for (int64_t done = 0; done < bytes; done += width) {
    std::memcpy(at + done, &word, static_cast<size_t>(std::min(width, bytes - done)));
  }
}

// With the quiet bit clear; 0x7f.. for what has no NaN.
uint64_t signalling_nan(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return 0x7D5A;
    case DType::kBF16:
      return 0x7FA5;
    case DType::kF32:
      return 0x7FA55AA5;
    case DType::kF64:
      return 0x7FF55AA55AA55AA5;
    default:
      return 0x7F7F7F7F7F7F7F7F;
  }
}

}  // namespace

Poison poison_mode() {
  static const Poison kMode = mode_of<Poison>(
      "MW_POISON",
      {{{"0", Poison::kNone}, {"1", Poison::kNan}, {"a5", Poison::kBytes}, {"", Poison::kNone}}});
  return kMode;
}

Guard guard_mode() {
  static const Guard kMode = mode_of<Guard>("MW_GUARD", {{{"0", Guard::kNone},
                                                          {"1", Guard::kAligned},
                                                          {"exact", Guard::kExact},
                                                          {"start", Guard::kStart}}});
  return kMode;
}

void fill_with(Poison mode, void* memory, int64_t bytes) {
  if (mode == Poison::kNan) repeat(memory, bytes, 0x7FF47FF47FF47FF4, 8);
  if (mode == Poison::kBytes) std::memset(memory, 0xA5, static_cast<size_t>(bytes));
}

void spoil(Poison mode, void* memory, int64_t bytes) {
  fill_with(mode, memory, bytes);
  asm volatile("" : : "r"(memory) : "memory");
}

void poison(Tensor& fresh) {
  const Poison mode = poison_mode();
  if (mode == Poison::kNone || fresh.dtype() == DType::kString || fresh.count() == 0) return;
  if (mode == Poison::kBytes) return fill_with(mode, fresh.mutable_raw(), fresh.nbytes());
  const int64_t width = is_float(fresh.dtype()) ? std::max(bit_width(fresh.dtype()) / 8, 1) : 8;
  repeat(fresh.mutable_raw(), fresh.nbytes(), signalling_nan(fresh.dtype()), width);
}

std::shared_ptr<void> guarded_memory(Guard mode, int64_t bytes) {
  constexpr int64_t kAlign = 64;
  static const int64_t kPage = sysconf(_SC_PAGESIZE);
  const int64_t aligned = (bytes + kAlign - 1) / kAlign * kAlign;
  const int64_t inside = std::max((bytes + kPage - 1) / kPage, int64_t{1}) * kPage;
  const auto whole = static_cast<size_t>(inside + 2 * kPage);
  if (guarded_pieces.fetch_add(1) >= kMostGuarded) {
    --guarded_pieces;
    void* const plain = std::aligned_alloc(kAlign, static_cast<size_t>(std::max(aligned, kAlign)));
    if (plain == nullptr) fail(ErrorCode::kOutOfMemory, "MW_GUARD: no memory of {} bytes", aligned);
    std::memset(plain, 0, static_cast<size_t>(aligned));
    return {plain, std::free};
  }
  void* const map = mmap(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) {
    --guarded_pieces;
    fail(ErrorCode::kOutOfMemory, "MW_GUARD: cannot map {} bytes: {}", whole, strerror(errno));
  }
  const std::shared_ptr<void> region(map, [whole](void* p) {
    allow(p, static_cast<int64_t>(whole));
    munmap(p, whole);
    --guarded_pieces;
  });
  std::byte* const first = static_cast<std::byte*>(map) + kPage;
  if (mprotect(first, static_cast<size_t>(inside), PROT_READ | PROT_WRITE) != 0) {
    fail(ErrorCode::kOutOfMemory, "MW_GUARD: cannot protect {} bytes: {}", whole, strerror(errno));
  }
  std::byte* start = first;
  if (mode == Guard::kAligned) start = first + inside - aligned;
  if (mode == Guard::kExact) start = first + inside - bytes;
  return {region, start};
}

Tensor guarded(Tensor view) {
  if (guard_mode() == Guard::kNone || view.dtype() == DType::kString) return view;
  return view.clone();
}

}  // namespace mw
