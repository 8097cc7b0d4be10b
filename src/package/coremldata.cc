// coremldata.bin: a header of fixed offsets around a serialized description, read with suspicion.
#include "package/coremldata.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "package/wire.h"

namespace mw::package {
namespace {

constexpr size_t kNameLengthAt = 0x1C;
constexpr size_t kNameAt = 0x24;
constexpr size_t kDescriptionAfterVersion =
    0x20;                        // where its length stands, counted from the version
constexpr size_t kTrailer = 16;  // per function: the kind and zeros
constexpr size_t kMaxSize = size_t{8} << 20;

template <class T>
std::optional<T> load(std::span<const std::byte> bytes, size_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

bool is_plausible(const pb::ModelDescription& description) {
  const auto named = [](const auto& list) {
    return std::all_of(list.begin(), list.end(), [](const auto& feature) {
      return !feature.name().empty() && feature.type().Type_case() != pb::FeatureType::TYPE_NOT_SET;
    });
  };
  if (!named(description.input()) || !named(description.output()) || !named(description.state())) {
    return false;
  }
  for (const auto& function : description.functions()) {
    if (function.name().empty() || !named(function.input()) || !named(function.output())) {
      return false;
    }
  }
  return !description.output().empty() || !description.functions().empty() ||
         !description.state().empty();
}

// A u64 length at `offset` and a message of that length after it.
std::optional<pb::ModelDescription> description_at(std::span<const std::byte> bytes,
                                                   size_t offset) {
  const auto length = load<uint64_t>(bytes, offset);
  if (!length || *length < 4 || *length > bytes.size() - offset - sizeof *length) {
    return std::nullopt;
  }
  pb::ModelDescription description;
  const google::protobuf::LogSilencer silence;
  const bool parsed =
      description.ParseFromArray(bytes.data() + offset + sizeof *length, static_cast<int>(*length));
  if (!parsed || !is_plausible(description)) return std::nullopt;
  return description;
}

// The tags that a description can begin with: input, output, state, functions.
bool begins_description(std::span<const std::byte> bytes, size_t offset) {
  const auto tag = load<uint8_t>(bytes, offset);
  return tag == 0x0A || tag == 0x52 || tag == 0x6A || tag == 0xA2;
}

std::optional<pb::ModelDescription> search(std::span<const std::byte> bytes) {
  constexpr size_t kWindow = size_t{64} << 10;
  size_t budget =
      2 * bytes.size() + kWindow;  // bytes to decode in all, so that a hostile file ends
  for (size_t offset = 0; offset + 8 < std::min(bytes.size(), kWindow); ++offset) {
    const auto length = load<uint64_t>(bytes, offset);
    if (!length || *length < 4 || *length > bytes.size() - offset - 8 ||
        !begins_description(bytes, offset + 8)) {
      continue;
    }
    if (*length > budget) break;
    budget -= *length;
    if (auto description = description_at(bytes, offset)) return description;
  }
  return std::nullopt;
}

void append(std::string& out, uint64_t value, size_t width) {
  out.append(reinterpret_cast<const char*>(&value), width);
}

void append_counted(std::string& out, std::string_view text) {
  append(out, text.size(), 8);
  out += text;
}

}  // namespace

CompiledData read_coremldata(std::span<const std::byte> bytes) {
  CompiledData data;
  if (bytes.size() > kMaxSize) return data;
  if (const auto kind = load<uint32_t>(bytes, 0); kind && !model_kind_named(*kind).empty()) {
    data.kind = *kind;
  }
  const auto name_length = load<uint64_t>(bytes, kNameLengthAt);
  if (name_length && *name_length < bytes.size()) {
    const size_t version_at = kNameAt + static_cast<size_t>(*name_length);
    const auto version = load<uint32_t>(bytes, version_at);
    if (version && *version < 256) data.spec_version = static_cast<int>(*version);
    data.description =
        description_at(bytes, std::min(version_at + kDescriptionAfterVersion, bytes.size()));
  }
  if (!data.description) data.description = search(bytes);
  return data;
}

std::string coremldata_bytes(int spec_version, const pb::ModelDescription& description,
                             size_t functions) {
  std::string out;
  append(out, kMlProgram, 4);
  append(out, 5, 4);  // the version of this container
  out.resize(kNameLengthAt, '\0');
  append_counted(out, "generic");
  append(out, static_cast<uint64_t>(spec_version), 4);
  out.resize(out.size() + kDescriptionAfterVersion - 4, '\0');
  append_counted(out, description.SerializeAsString());
  for (size_t i = 0; i < functions; ++i) {
    append(out, kMlProgram, 4);
    out.resize(out.size() + kTrailer - 4, '\0');
  }
  return out;
}

std::string analytics_bytes(const std::string& model_hash) {
  std::string out;
  append_counted(out, "NeuralNetworkModelDetails");
  append(out, 2, 8);
  append_counted(out, "containsCustomLayer");
  append_counted(out, "0");
  append_counted(out, "modelDimension");
  append_counted(out, "0");
  append_counted(out, "SpecificationDetails");
  append(out, 2, 8);
  append_counted(out, "modelHash");
  append_counted(out, model_hash);
  append_counted(out, "modelName");
  append_counted(out, "model");
  return out;
}

}  // namespace mw::package
