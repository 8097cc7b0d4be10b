// Datasets of windows and of arrays; the order of examples.
#include "train/data.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/checksum.h"
#include "base/error.h"
#include "base/finite.h"
#include "base/random.h"
#include "exec/output_pool.h"

namespace mw::training {
namespace {

// Tokens [start, start + length): all but the last are read, all but the first predicted.
struct Window {
  int64_t start;
  int64_t length;
};

class Windows : public Dataset {
 public:
  Windows(TokenStream stream, int64_t seq_len, const std::string& name, bool apart)
      : stream_(std::move(stream)), seq_len_(seq_len) {
    const auto total = static_cast<int64_t>(stream_.ids.size());
    if (apart && !stream_.starts.empty()) {
      set_apart();
    } else if (stream_.whole_examples) {
      pack();
    } else {
      for (int64_t at = 0; at + seq_len + 1 <= total; at += seq_len) keep({at, seq_len + 1});
      if (!stream_.starts.empty() && windows_.empty()) keep({0, total});
    }
    if (windows_.empty()) {
      fail(ErrorCode::kInvalidArgument,
           "{}: expected at least {} tokens for one window, got {}; lower {}", name, seq_len + 1,
           total, setting("seq_len"));
    }
  }

  [[nodiscard]] int64_t size() const override { return static_cast<int64_t>(windows_.size()); }
  [[nodiscard]] bool can_pad() const override { return true; }
  [[nodiscard]] int64_t tokens_per_example() const override { return seq_len_; }

  [[nodiscard]] TensorMap batch(std::span<const int64_t> examples) const override {
    const Shape shape = {static_cast<int64_t>(examples.size()), seq_len_};
    Tensor ids(DType::kI32, shape), labels(DType::kI32, shape);
    std::fill_n(labels.mutable_data<int32_t>(), labels.count(), kIgnoredLabel);
    for (size_t row = 0; row < examples.size(); ++row) {
      if (examples[row] < 0) continue;
      const Window& window = windows_[static_cast<size_t>(examples[row])];
      int32_t* read = ids.mutable_data<int32_t>() + static_cast<int64_t>(row) * seq_len_;
      int32_t* said = labels.mutable_data<int32_t>() + static_cast<int64_t>(row) * seq_len_;
      for (int64_t i = 0; i + 1 < window.length; ++i) {
        const auto next = static_cast<size_t>(window.start + i + 1);
        read[i] = stream_.ids[next - 1];
        if (stream_.learnt[next]) said[i] = stream_.ids[next];
      }
    }
    return {{"input_ids", ids}, {"labels", labels}};
  }

  [[nodiscard]] uint64_t fingerprint() const override {
    Checksum sum;
    sum.add(seq_len_).add(stream_.ids.data(), stream_.ids.size() * sizeof(int32_t));
    for (const Window& window : windows_) sum.add(window.start).add(window.length);
    return sum.value();
  }

 private:
  // A window without a label that counts is left out.
  void keep(const Window& window) {
    for (int64_t i = 1; i < window.length; ++i) {
      if (!stream_.learnt[static_cast<size_t>(window.start + i)]) continue;
      windows_.push_back(window);
      return;
    }
  }

  void set_apart() {
    for (size_t i = 0; i < stream_.starts.size(); ++i) {
      const int64_t start = stream_.starts[i];
      keep({start, std::min(stream_.end_of(i) - start, seq_len_ + 1)});
    }
  }

  // Examples in order, as many to a window as fit; one that is longer than a window is cut.
  void pack() {
    const int64_t most = seq_len_ + 1;
    std::vector<int64_t> bounds = stream_.starts;
    bounds.push_back(static_cast<int64_t>(stream_.ids.size()));
    int64_t begin = 0;
    for (size_t i = 0; i + 1 < bounds.size(); ++i) {
      const int64_t start = bounds[i], end = bounds[i + 1];
      if (end - begin <= most) continue;
      if (start > begin) keep({begin, start - begin});
      begin = start;
      // Windows of one long example share a token: the last that is predicted is read next.
      for (; end - begin > most; begin += seq_len_) keep({begin, most});
    }
    if (bounds.back() > begin) keep({begin, bounds.back() - begin});
  }

  TokenStream stream_;
  int64_t seq_len_;
  std::vector<Window> windows_;
};

class Arrays : public Dataset {
 public:
  Arrays(TensorMap tensors, const std::string& name, bool skip_uncounted)
      : tensors_(std::move(tensors)), name_(name) {
    int64_t rows = -1;
    for (const auto& [key, tensor] : tensors_) {
      if (tensor.rank() > 0 && tensor.dim(0) == 0) {
        fail(ErrorCode::kInvalidArgument, "{}: tensor '{}': expected at least one row, got none",
             name, key);
      }
      if (tensor.rank() == 0 || tensor.dtype() == DType::kString ||
          bit_width(tensor.dtype()) % 8 != 0) {
        fail(ErrorCode::kInvalidArgument,
             "{}: tensor '{}': expected examples along its first axis, got {} {}", name, key,
             name_of(tensor.dtype()), to_string(tensor.shape()));
      }
      if (rows < 0) rows = tensor.dim(0);
      if (tensor.dim(0) == rows) continue;
      fail(ErrorCode::kInvalidArgument, "{}: tensor '{}': expected {} examples as in '{}', got {}",
           name, key, rows, tensors_.begin()->first, tensor.dim(0));
    }
    if (rows < 0) fail(ErrorCode::kInvalidArgument, "{}: expected tensors, got none", name);
    const auto labels = tensors_.find("labels");
    for (int64_t row = 0; row < rows; ++row) {
      const bool counts =
          !skip_uncounted || labels == tensors_.end() || any_counts(row_of(labels->second, row));
      if (counts) rows_.push_back(row);
    }
    if (rows_.empty()) in_context([&] { return name; }, [] { fail_uncounted(); });
  }

  [[nodiscard]] int64_t size() const override { return static_cast<int64_t>(rows_.size()); }
  [[nodiscard]] bool can_pad() const override { return false; }
  [[nodiscard]] int64_t tokens_per_example() const override { return 0; }

  [[nodiscard]] TensorMap batch(std::span<const int64_t> examples) const override {
    std::vector<exec::OutputPool::Wanted> wanted;
    for (const auto& [name, tensor] : tensors_) {
      wanted.push_back({tensor.dtype(), tensor.shape()});
      wanted.back().shape[0] = static_cast<int64_t>(examples.size());
    }
    std::vector<Tensor> made = batches_.take(wanted);
    TensorMap rows;
    for (const auto& [name, tensor] : tensors_) {
      Tensor& stacked = made[rows.size()];
      auto* to = static_cast<char*>(stacked.mutable_raw());
      for (const int64_t example : examples) {
        const Tensor row = row_of(tensor, rows_.at(static_cast<size_t>(example)));
        to = static_cast<char*>(std::memcpy(to, row.raw(), static_cast<size_t>(row.nbytes())));
        to += row.nbytes();
      }
      rows[name] = std::move(stacked);
    }
    return rows;
  }

  [[nodiscard]] std::optional<std::string> not_finite(
      std::span<const int64_t> examples) const override {
    for (const auto& [name, tensor] : tensors_) {
      for (const int64_t example : examples) {
        const int64_t row = rows_.at(static_cast<size_t>(example));
        const Tensor values = row_of(tensor, row);
        const auto at = first_not_finite(values);
        if (!at) continue;
        return fmt::format("{}: tensor '{}': expected finite numbers, got {}", name_, name,
                           not_finite_text(tensor, row * values.count() + *at));
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] uint64_t fingerprint() const override {
    Checksum sum;
    for (const auto& [name, tensor] : tensors_) {
      sum.add(name).add(name_of(tensor.dtype())).add(to_string(tensor.shape()));
      sum.add(tensor.raw(), static_cast<size_t>(tensor.nbytes()));
    }
    if (size() < tensors_.begin()->second.dim(0)) {
      sum.add(rows_.data(), rows_.size() * sizeof(int64_t));
    }
    return sum.value();
  }

 private:
  static Tensor row_of(const Tensor& tensor, int64_t row) {
    Shape shape = tensor.shape();
    shape[0] = 1;
    const int64_t bytes = bytes_of(tensor.dtype(), count_of(shape));
    return {tensor.dtype(), std::move(shape), tensor.owner(),
            static_cast<const char*>(tensor.raw()) + row * bytes};
  }
  static bool any_counts(const Tensor& labels) {
    for (int64_t i = 0; i < labels.count(); ++i) {
      if (labels.number_at(i) != kIgnoredLabel) return true;
    }
    return false;
  }

  TensorMap tensors_;
  std::string name_;
  std::vector<int64_t> rows_;  // by example
  mutable exec::OutputPool batches_;
};

}  // namespace

void fail_uncounted() {
  fail(ErrorCode::kInvalidArgument, "labels: expected at least one that counts, got only {}",
       kIgnoredLabel);
}

std::vector<int32_t> TokenStream::prompt(int64_t limit) const {
  auto end = std::min<int64_t>(static_cast<int64_t>(ids.size()), limit);
  if (whole_examples) {
    const auto answer = std::find(learnt.begin(), learnt.end(), true) - learnt.begin();
    end = std::min<int64_t>(end, answer);
  }
  return {ids.begin(), ids.begin() + end};
}

int64_t TokenStream::end_of(size_t example) const {
  return example + 1 < starts.size() ? starts[example + 1] : static_cast<int64_t>(ids.size());
}

int64_t TokenStream::longest() const {
  if (starts.empty()) return static_cast<int64_t>(ids.size());
  int64_t most = 0;
  for (size_t i = 0; i < starts.size(); ++i) most = std::max(most, end_of(i) - starts[i]);
  return most;
}

std::unique_ptr<Dataset> windows_of(TokenStream stream, int64_t seq_len, const std::string& name,
                                    bool apart) {
  return std::make_unique<Windows>(std::move(stream), seq_len, name, apart);
}

std::unique_ptr<Dataset> arrays_of(TensorMap tensors, const std::string& name,
                                   bool skip_uncounted) {
  return std::make_unique<Arrays>(std::move(tensors), name, skip_uncounted);
}

void Shuffle::shuffle(int64_t epoch) {
  epoch_ = epoch;
  order_.resize(static_cast<size_t>(examples_));
  std::iota(order_.begin(), order_.end(), 0);
  uint64_t state = seed_;
  state = next_random(state) + static_cast<uint64_t>(epoch);
  for (size_t i = order_.size(); i > 1; --i) {
    // The remainder's bias is below i / 2^64.
    std::swap(order_[i - 1], order_[next_random(state) % i]);
  }
}

std::vector<int64_t> Shuffle::take(int64_t cursor, int64_t count) {
  if (cursor < 0 || count < 0 || cursor > std::numeric_limits<int64_t>::max() - count) {
    fail(ErrorCode::kInvalidArgument, "expected a place in the data of at least 0, got {}", cursor);
  }
  std::vector<int64_t> taken;
  for (int64_t at = cursor; at < cursor + count; ++at) {
    if (at / examples_ != epoch_) shuffle(at / examples_);
    taken.push_back(order_[static_cast<size_t>(at % examples_)]);
  }
  return taken;
}

}  // namespace mw::training
