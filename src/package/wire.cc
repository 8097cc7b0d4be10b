// survey(): a schema-driven walk over protobuf's wire format.
#include "package/wire.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/error.h"

namespace mw::package {
namespace {

constexpr uint64_t kFreeCost = uint64_t{640} << 20;  // what a file of any size may cost

constexpr auto kKinds = std::to_array<std::pair<uint32_t, std::string_view>>({
    {200, "pipelineClassifier"},
    {201, "pipelineRegressor"},
    {202, "pipeline"},
    {300, "glmRegressor"},
    {301, "supportVectorRegressor"},
    {302, "treeEnsembleRegressor"},
    {303, "neuralNetworkRegressor"},
    {304, "bayesianProbitRegressor"},
    {400, "glmClassifier"},
    {401, "supportVectorClassifier"},
    {402, "treeEnsembleClassifier"},
    {403, "neuralNetworkClassifier"},
    {404, "kNearestNeighborsClassifier"},
    {500, "neuralNetwork"},
    {501, "itemSimilarityRecommender"},
    {kMlProgram, "mlProgram"},
    {555, "customModel"},
    {556, "linkedModel"},
    {560, "classConfidenceThresholding"},
    {600, "oneHotEncoder"},
    {601, "imputer"},
    {602, "featureVectorizer"},
    {603, "dictVectorizer"},
    {604, "scaler"},
    {606, "categoricalMapping"},
    {607, "normalizer"},
    {609, "arrayFeatureExtractor"},
    {610, "nonMaximumSuppression"},
    {900, "identity"},
    {2000, "textClassifier"},
    {2001, "wordTagger"},
    {2002, "visionFeaturePrint"},
    {2003, "soundAnalysisPreprocessing"},
    {2004, "gazetteer"},
    {2005, "wordEmbedding"},
    {2006, "audioFeaturePrint"},
    {3000, "serializedModel"},
});

// The messages of MIL.proto, as far as they nest.
enum class Message : uint8_t {
  kModel,
  kDescription,
  kProgram,
  kFunctionEntry,
  kFunction,
  kBlockEntry,
  kBlock,
  kOperation,
  kArgumentEntry,
  kArgument,
  kBinding,
  kValueEntry,
  kValue,
  kNamedType,
  kType,
  kTensorType,
  kListType,
  kTupleType,
  kDictType,
  kStateType,
  kDimension,
  kEmpty,
  kImmediate,
  kTensor,
  kValues,
  kPair,
  kPairs,
  kNumbers,
  kVarints,
  kStrings,
  kText,
  kPayload,
  kVarintPayload,
};

struct Child {
  Message parent;
  uint32_t field;
  Message child;
};
using M = Message;
constexpr auto kChildren = std::to_array<Child>({
    {M::kModel, 2, M::kDescription},
    {M::kProgram, 2, M::kFunctionEntry},
    {M::kProgram, 4, M::kValueEntry},
    {M::kFunctionEntry, 2, M::kFunction},
    {M::kFunction, 1, M::kNamedType},
    {M::kFunction, 3, M::kBlockEntry},
    {M::kFunction, 4, M::kValueEntry},
    {M::kBlockEntry, 2, M::kBlock},
    {M::kBlock, 1, M::kNamedType},
    {M::kBlock, 2, M::kText},
    {M::kBlock, 3, M::kOperation},
    {M::kBlock, 4, M::kValueEntry},
    {M::kOperation, 1, M::kText},
    {M::kOperation, 2, M::kArgumentEntry},
    {M::kOperation, 3, M::kNamedType},
    {M::kOperation, 4, M::kBlock},
    {M::kOperation, 5, M::kValueEntry},
    {M::kArgumentEntry, 1, M::kText},
    {M::kArgumentEntry, 2, M::kArgument},
    {M::kArgument, 1, M::kBinding},
    {M::kBinding, 1, M::kText},
    {M::kBinding, 2, M::kValue},
    {M::kValueEntry, 1, M::kText},
    {M::kValueEntry, 2, M::kValue},
    {M::kValue, 1, M::kText},
    {M::kValue, 2, M::kType},
    {M::kValue, 3, M::kImmediate},
    {M::kValue, 5, M::kText},
    {M::kNamedType, 1, M::kText},
    {M::kNamedType, 2, M::kType},
    {M::kType, 1, M::kTensorType},
    {M::kType, 2, M::kListType},
    {M::kType, 3, M::kTupleType},
    {M::kType, 4, M::kDictType},
    {M::kType, 5, M::kStateType},
    {M::kTensorType, 3, M::kDimension},
    {M::kListType, 1, M::kType},
    {M::kListType, 2, M::kDimension},
    {M::kTupleType, 1, M::kType},
    {M::kDictType, 1, M::kType},
    {M::kDictType, 2, M::kType},
    {M::kStateType, 1, M::kType},
    {M::kDimension, 1, M::kEmpty},
    {M::kDimension, 2, M::kEmpty},
    {M::kImmediate, 1, M::kTensor},
    {M::kImmediate, 2, M::kValues},
    {M::kImmediate, 3, M::kValues},
    {M::kImmediate, 4, M::kPairs},
    {M::kTensor, 1, M::kNumbers},
    {M::kTensor, 2, M::kVarints},
    {M::kTensor, 3, M::kNumbers},
    {M::kTensor, 4, M::kStrings},
    {M::kTensor, 5, M::kVarints},
    {M::kTensor, 6, M::kNumbers},
    {M::kTensor, 7, M::kNumbers},
    {M::kValues, 1, M::kValue},
    {M::kPairs, 1, M::kPair},
    {M::kPair, 1, M::kValue},
    {M::kPair, 2, M::kValue},
    {M::kNumbers, 1, M::kPayload},
    {M::kVarints, 1, M::kVarintPayload},
    {M::kStrings, 1, M::kText},
    {M::kProgram, 3, M::kText},
});

// kChildren by parent and field; kModel, which is nobody's child, marks the gaps.
constexpr uint32_t kFields = 8;
constexpr auto kTable = [] {
  std::array<std::array<Message, kFields>, static_cast<size_t>(M::kVarintPayload) + 1> table{};
  for (const Child& row : kChildren) table[static_cast<size_t>(row.parent)][row.field] = row.child;
  return table;
}();

// Bytes of one decoded message and of the object of the program it becomes.
uint64_t cost_of(Message message) {
  switch (message) {
    case M::kOperation:
      return 520;
    case M::kBlock:
      return 360;
    case M::kFunction:
      return 500;
    case M::kNamedType:
      return 260;
    case M::kValue:
      return 360;
    case M::kArgumentEntry:
      return 180;
    case M::kBinding:
      return 80;
    case M::kTensorType:
      return 110;
    case M::kText:
      return 120;
    default:
      return 72;
  }
}

// Bytes that one byte of a field may become when it is decoded and then put into a tensor; 0 for a
// message to walk into. A varint has one byte or more, and a description is not walked into.
uint64_t growth_of(Message message) {
  switch (message) {
    case M::kText:
    case M::kPayload:
      return 2;
    case M::kVarintPayload:
      return 16;
    case M::kDescription:
      return 64;
    default:
      return 0;
  }
}

class Walk {
 public:
  explicit Walk(std::span<const std::byte> bytes)
      : bytes_(bytes), limit_(kFreeCost + 3 * bytes.size()) {}

  Survey run() {
    message(M::kModel, 0, bytes_.size(), 0);
    return survey_;
  }

 private:
  [[noreturn]] void broken() const {
    fail(ErrorCode::kInvalidModel,
         "expected a serialized Core ML model, got bytes that end or break off at {}", at_);
  }

  uint64_t varint(size_t end) {
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (at_ >= end) broken();
      const auto byte = static_cast<uint8_t>(bytes_[at_++]);
      value |= static_cast<uint64_t>(byte & 0x7f) << std::min(shift, 63);
      if (byte < 0x80) return value;
    }
    broken();
  }

  void spend(uint64_t cost) {
    survey_.cost += cost;
    if (survey_.cost > limit_) {
      fail(ErrorCode::kOutOfMemory,
           "a model file of {} bytes declares objects that need more than {} MiB; it is broken or "
           "hostile",
           bytes_.size(), limit_ >> 20);
    }
  }

  void skip(uint64_t count, size_t end) {
    if (count > end - at_) broken();
    at_ += count;
  }

  // Nullopt for a field that is not a message, or not one of ours.
  static std::optional<Message> child_of(Message parent, uint32_t field) {
    if (parent == M::kModel && field == kMlProgram) return M::kProgram;
    if (field >= kFields) return std::nullopt;
    const Message child = kTable[static_cast<size_t>(parent)][field];
    return child == M::kModel ? std::nullopt : std::optional(child);
  }

  void message(Message kind, size_t begin, size_t end, int depth) {
    if (depth > kMaxMessageDepth) {
      fail(ErrorCode::kInvalidModel, "the model nests more than {} messages deep",
           kMaxMessageDepth);
    }
    at_ = begin;
    spend(cost_of(kind));
    while (at_ < end) {
      const uint64_t tag = varint(end);
      const auto field = static_cast<uint32_t>(tag >> 3);
      if (tag >> 3 == 0 || tag >> 32 != 0) broken();
      switch (tag & 7) {
        case 0:
          varint(end);
          spend(16);
          break;
        case 1:
          skip(8, end);
          break;
        case 2:
          lengthy(kind, field, end, depth);
          break;
        case 5:
          skip(4, end);
          break;
        default:
          broken();
      }
    }
  }

  void lengthy(Message kind, uint32_t field, size_t end, int depth) {
    const uint64_t length = varint(end);
    if (length > end - at_) broken();
    const size_t stop = at_ + length;
    if (kind == M::kModel && field >= 200) survey_.kind = field;
    const std::optional<Message> child = child_of(kind, field);
    if (!child) {
      spend(length);  // kept as unknown bytes
    } else if (growth_of(*child) > 0) {
      spend(cost_of(*child) + growth_of(*child) * length);
    } else {
      message(*child, at_, stop, depth + 1);
    }
    at_ = stop;
  }

  std::span<const std::byte> bytes_;
  uint64_t limit_;
  size_t at_ = 0;
  Survey survey_;
};

}  // namespace

std::string_view model_kind_named(uint32_t number) {
  for (const auto& [known, name] : kKinds) {
    if (known == number) return name;
  }
  return "";
}

void refuse_kind(uint32_t number) {
  const std::string_view name = model_kind_named(number);
  fail(ErrorCode::kUnsupported, "expected an ML Program, got a model of kind '{}'; {}",
       name.empty() ? fmt::format("number {}", number) : std::string(name),
       name.starts_with("pipeline") ? "open the models that it is made of one by one"
                                    : "convert it to an ML Program with coremltools");
}

Survey survey(std::span<const std::byte> model) { return Walk(model).run(); }

}  // namespace mw::package
