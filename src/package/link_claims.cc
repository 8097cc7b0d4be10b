// check_claims(): the numbers in the file that describes the parts, against the linked program.
#include <algorithm>

#include "base/error.h"
#include "package/link.h"

namespace mw::package {
namespace {

class Claims {
 public:
  explicit Claims(const Model& linked)
      : linked_(linked), parts_(*linked.parts), claims_(parts_.list.claims) {}

  void check() const {
    // Those for a window that slides may have narrower masks.
    const ir::Function& main = *linked_.program->find_function(linked_.default_function);
    input(main, "causal_mask", -1, claims_.context_length, "context_length");
    if (const ir::Function* prefill = linked_.program->find_function("prefill")) {
      input(*prefill, "causal_mask", -1, claims_.context_length, "context_length");
      input(*prefill, "input_ids", 1, claims_.batch_size, "batch_size");
    }
    hidden();
    logits();
  }

 private:
  [[noreturn]] void refuse(const std::string& key, int64_t stated, const std::string& what,
                           const std::string& got) const {
    fail(ErrorCode::kInvalidModel,
         "{}: {} is {}: expected {} to agree, got {}; mend the file, or take the parts that it is "
         "of",
         parts_.list.described_by, key, stated, what, got);
  }

  // The extent of an input along an axis, from the end where it is negative.
  void input(const ir::Function& function, const std::string& name, int64_t axis,
             const std::optional<int64_t>& stated, const std::string& key) const {
    const ir::Value* value = function.find_argument(name);
    if (!stated || value == nullptr || !value->type.is_tensor() || !value->type.has_rank()) return;
    const Shape& shape = value->type.shape();
    if (axis < 0) axis += static_cast<int64_t>(shape.size());
    if (axis < 0 || axis >= static_cast<int64_t>(shape.size())) return;
    const int64_t extent = shape[static_cast<size_t>(axis)];
    if (extent < 0 || extent == *stated) return;
    refuse(key, *stated, fmt::format("function '{}', input '{}'", function.name, name),
           value->type.str());
  }

  // Results of parts that later parts take: their rows are as wide as the model.
  void hidden() const {
    if (!claims_.hidden_size) return;
    for (const LinkedFunction& function : parts_.functions) {
      for (const Segment& segment : function.segments) {
        const ir::Function& source =
            *parts_.models[segment.part]->program->find_function(segment.function);
        for (const auto& [name, from] : segment.taken) {
          const ir::Type& type = source.find_argument(name)->type;
          if (!type.is_tensor() || !type.has_rank() || type.rank() == 0 ||
              type.shape().back() < 0 || type.shape().back() == *claims_.hidden_size) {
            continue;
          }
          refuse("shapes.hidden_size", *claims_.hidden_size,
                 fmt::format("part {}, function '{}', input '{}'", parts_.title(segment.part),
                             segment.function, name),
                 type.str());
        }
      }
    }
  }

  void logits() const {
    const ir::Function& function = *linked_.program->find_function(linked_.default_function);
    int64_t count = 0, vocabulary = 0;
    for (const ir::Value* output : function.body.outputs) {
      const ir::Type& type = output->type;
      if (!output->name.starts_with("logits") && output->name != "output_logits") continue;
      if (!type.is_tensor() || !type.is_static() || type.rank() == 0) return;
      ++count;
      vocabulary += type.shape().back();
    }
    if (count == 0) return;
    if (claims_.split_head && *claims_.split_head != count) {
      refuse("split_lm_head", *claims_.split_head, "the outputs with logits",
             fmt::format("{} of them", count));
    }
    if (claims_.vocab_size && *claims_.vocab_size != vocabulary) {
      refuse("vocab_size", *claims_.vocab_size, "the logits",
             fmt::format("{} of them", vocabulary));
    }
  }

  const Model& linked_;
  const Parts& parts_;
  const PartClaims& claims_;
};

}  // namespace

void check_claims(const Model& linked) { Claims(linked).check(); }

}  // namespace mw::package
