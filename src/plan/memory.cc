// assign_memory(): lifetimes of the arena buffers and their offsets, largest first into the lowest
// gap.
#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/memory_checks.h"
#include "plan/plan.h"

namespace mw::plan {
namespace {

constexpr int64_t kAlign = 64;
// Behind each block, for sanitizer builds to report what is read there.
constexpr int64_t kGap = kSanitized ? kAlign : 0;

int64_t aligned(int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

void find_lifetimes(Plan& plan) {
  for (size_t s = 0; s < plan.steps.size(); ++s) {
    const auto touch = [&](int b) {
      Buffer& buffer = plan.buffers[static_cast<size_t>(b)];
      if (buffer.first < 0) buffer.first = static_cast<int>(s);
      buffer.last = static_cast<int>(s);
    };
    std::for_each(plan.steps[s].reads.begin(), plan.steps[s].reads.end(), touch);
    std::for_each(plan.steps[s].writes.begin(), plan.steps[s].writes.end(), touch);
  }
}

// A step that may overwrite an operand does so when the operand dies there.
void settle_sharing(Plan& plan) {
  std::vector<bool> taken(plan.buffers.size(), false);
  for (Buffer& buffer : plan.buffers) {
    if (buffer.shares < 0) continue;
    const auto from = static_cast<size_t>(buffer.shares);
    const Buffer& operand = plan.buffers[from];
    const bool may = buffer.kind == Buffer::Kind::kArena && operand.kind == Buffer::Kind::kArena &&
                     operand.last == buffer.first && buffer.bytes <= operand.bytes && !taken[from];
    if (may) {
      taken[from] = true;
    } else {
      buffer.shares = -1;
    }
  }
}

struct Block {
  int64_t bytes = 0, offset = 0;
  int first = 0, last = 0;
};

// Buffers that take over each other's memory form one block.
std::vector<int> make_blocks(const Plan& plan, std::vector<Block>& blocks) {
  std::vector<int> block_of(plan.buffers.size(), -1);
  for (size_t b = 0; b < plan.buffers.size(); ++b) {
    const Buffer& buffer = plan.buffers[b];
    if (buffer.kind != Buffer::Kind::kArena || buffer.first < 0) continue;
    if (buffer.shares >= 0) {
      MW_CHECK(buffer.shares < static_cast<int>(b));
      block_of[b] = block_of[static_cast<size_t>(buffer.shares)];
      Block& block = blocks[static_cast<size_t>(block_of[b])];
      block.last = std::max(block.last, buffer.last);
      continue;
    }
    block_of[b] = static_cast<int>(blocks.size());
    const int64_t gap = plan.described ? 0 : kGap;
    const int64_t bytes = aligned(std::max<int64_t>(buffer.bytes, 1)) + gap;
    blocks.push_back({bytes, 0, buffer.first, buffer.last});
  }
  return block_of;
}

int64_t place_blocks(std::vector<Block>& blocks) {
  std::vector<size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return blocks[a].bytes > blocks[b].bytes; });
  int64_t total = 0;
  std::vector<size_t> placed;  // sorted by offset
  for (const size_t index : order) {
    Block& block = blocks[index];
    int64_t offset = 0;
    for (const size_t other : placed) {
      const Block& busy = blocks[other];
      if (busy.last < block.first || block.last < busy.first) continue;
      if (offset + block.bytes <= busy.offset) break;
      offset = std::max(offset, busy.offset + busy.bytes);
    }
    block.offset = offset;
    if (__builtin_add_overflow(offset, block.bytes, &offset)) {
      fail(ErrorCode::kOutOfMemory, "the intermediate results do not fit in the address space");
    }
    total = std::max(total, offset);
    const auto at = std::upper_bound(placed.begin(), placed.end(), index, [&](size_t a, size_t b) {
      return blocks[a].offset < blocks[b].offset;
    });
    placed.insert(at, index);
  }
  return total;
}

Layout::Item item_of(const Buffer& buffer) {
  return {buffer.kind, buffer.bytes, 0, buffer.first, buffer.last, buffer.shares};
}

// Takes over which buffers share memory where that is how the layout has it and the plan allows it.
bool adopt(Plan& plan, const Layout& layout) {
  if (plan.buffers.size() != layout.items.size()) return false;
  for (size_t b = 0; b < plan.buffers.size(); ++b) {
    const Layout::Item mine = item_of(plan.buffers[b]), &theirs = layout.items[b];
    if (mine.kind != theirs.kind || mine.first != theirs.first || mine.last != theirs.last ||
        (theirs.shares >= 0 && mine.shares != theirs.shares)) {
      return false;
    }
    if (mine.kind == Buffer::Kind::kArena && mine.bytes > theirs.bytes) return false;
  }
  for (size_t b = 0; b < plan.buffers.size(); ++b) plan.buffers[b].shares = layout.items[b].shares;
  return true;
}

// Copies from a place to itself move nothing.
void settle_copies(Plan& plan) {
  for (Step& step : plan.steps) {
    if (!step.vanishes) continue;
    const Buffer& from = plan.buffers[static_cast<size_t>(step.reads[0])];
    const Buffer& to = plan.buffers[static_cast<size_t>(step.writes[0])];
    const bool same_state =
        from.kind == Buffer::Kind::kState && to.kind == from.kind && from.index == to.index;
    if (same_state || to.shares == step.reads[0]) step.copied = 0;
  }
}

}  // namespace

void assign_memory(Plan& plan, const std::shared_ptr<const Layout>& reuse) {
  find_lifetimes(plan);
  if (reuse != nullptr && adopt(plan, *reuse)) {
    plan.layout = reuse;
    plan.reuses_layout = true;
    settle_copies(plan);
    return;
  }
  settle_sharing(plan);
  std::vector<Block> blocks;
  const std::vector<int> block_of = make_blocks(plan, blocks);
  auto layout = std::make_shared<Layout>();
  layout->arena_bytes = place_blocks(blocks);
  for (size_t b = 0; b < plan.buffers.size(); ++b) {
    Layout::Item& item = layout->items.emplace_back(item_of(plan.buffers[b]));
    if (block_of[b] >= 0) item.offset = blocks[static_cast<size_t>(block_of[b])].offset;
  }
  plan.layout = std::move(layout);
  settle_copies(plan);
}

}  // namespace mw::plan
