// recompute(): buffers are given up one after the other, those first that are cheap to make for
// what they free; the shortest such list that fits is then thinned out.
#include "autodiff/recompute.h"

#include <algorithm>

namespace mw::autodiff {
namespace {

constexpr int kRounds = 3;
constexpr int kMostKeptTrials = 8;  // buffers that are tried to be kept after all

// The list of buffers to give up, from the estimates of the graph alone.
class Thrift {
 public:
  explicit Thrift(const StepGraph& graph)
      : graph_(graph), choice_(graph.nothing()), cost_(graph.cost(choice_)) {}

  std::vector<size_t> run() {
    for (int round = 0; round < kRounds; ++round) {
      const size_t before = given_.size();
      // What lowers the worst moment, then what lowers the beginning of the backward pass only:
      // estimates may have taken another moment for the worst.
      for (const bool strict : {true, false}) {
        refused_ = graph_.nothing();
        while (give_up_one(strict)) {
        }
      }
      if (given_.size() == before) break;
    }
    return std::move(given_);
  }

 private:
  bool give_up_one(bool strict) {
    const StepGraph::Order order = graph_.order(choice_);
    std::vector<std::pair<double, size_t>> ranked;
    for (const size_t buffer : graph_.candidates()) {
      if (choice_[buffer] || refused_[buffer]) continue;
      const double work = graph_.added_work(choice_, order, buffer);
      ranked.emplace_back(work / static_cast<double>(graph_.bytes_of(buffer)), buffer);
    }
    std::stable_sort(ranked.begin(), ranked.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [ratio, buffer] : ranked) {
      choice_[buffer] = true;
      const StepGraph::Cost cost = graph_.cost(choice_);
      const bool better =
          strict ? cost.peak < cost_.peak : cost.peak <= cost_.peak && cost.at_turn < cost_.at_turn;
      if (better) {
        cost_ = cost;
        given_.push_back(buffer);
        return true;
      }
      choice_[buffer] = false;
      refused_[buffer] = true;
    }
    return false;
  }

  const StepGraph& graph_;
  Choice choice_, refused_;
  StepGraph::Cost cost_;
  std::vector<size_t> given_;
};

class Search {
 public:
  Search(const StepGraph& graph, int64_t budget,
         const std::function<int64_t(const ir::Function&)>& need)
      : graph_(graph), budget_(budget), need_(need), list_(Thrift(graph).run()) {}

  Recomputed run() {
    size_t fits = list_.size(), too_short = 0;
    // The longest list is the most thrifty one by estimate, and nearly always in truth.
    while (fits > 0 && !try_out(first(fits))) fits /= 2;
    if (best_.function == nullptr) {
      best_.need = least_;
      return std::move(best_);
    }
    while (fits - too_short > 1) {
      const size_t middle = (fits + too_short) / 2;
      (try_out(first(middle)) ? fits : too_short) = middle;
    }
    thin_out();
    best_.work = graph_.cost(choice_).work;
    return std::move(best_);
  }

 private:
  [[nodiscard]] Choice first(size_t count) const {
    Choice choice = graph_.nothing();
    for (size_t i = 0; i < count; ++i) choice[list_[i]] = true;
    return choice;
  }

  bool try_out(const Choice& choice) {
    std::unique_ptr<ir::Function> function = graph_.apply(choice);
    const int64_t bytes = need_(*function);
    least_ = std::min(least_, bytes);
    if (bytes > budget_) return false;
    best_.function = std::move(function);
    best_.need = bytes;
    choice_ = choice;
    return true;
  }

  // Keeps what is dear to compute again and still has room.
  void thin_out() {
    std::vector<std::pair<double, size_t>> dear;
    for (const size_t buffer : list_) {
      if (!choice_[buffer]) continue;
      Choice without = choice_;
      without[buffer] = false;
      dear.emplace_back(graph_.cost(choice_).work - graph_.cost(without).work, buffer);
    }
    std::stable_sort(dear.begin(), dear.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    int trials = 0;
    for (const auto& [work, buffer] : dear) {
      Choice without = choice_;
      without[buffer] = false;
      const StepGraph::Cost now = graph_.cost(choice_), then = graph_.cost(without);
      if (then.work >= now.work || then.peak - now.peak > budget_ - best_.need) continue;
      if (trials++ == kMostKeptTrials) break;
      (void)try_out(without);
    }
  }

  const StepGraph& graph_;
  int64_t budget_;
  const std::function<int64_t(const ir::Function&)>& need_;
  std::vector<size_t> list_;
  Choice choice_;
  Recomputed best_;
  int64_t least_ = INT64_MAX;
};

}  // namespace

Recomputed recompute(const ir::Function& function, const ir::Catalog& catalog,
                     const std::vector<const ir::Value*>& ends, const RecomputeHints& hints,
                     int64_t budget, const std::function<int64_t(const ir::Function&)>& need) {
  const StepGraph graph(function, catalog, ends, hints);
  Recomputed result = Search(graph, budget, need).run();
  if (result.function == nullptr && result.need == INT64_MAX) result.need = need(function);
  return result;
}

}  // namespace mw::autodiff
