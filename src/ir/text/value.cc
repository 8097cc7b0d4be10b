// Types and typed values: tensor literals, blob references, lists, tuples and dicts.
#include "ir/text/value.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "ir/text/literal.h"

namespace mw::ir::text {
namespace {

// Elements of all lists, tuples and dicts of one program: each costs some hundred bytes for as
// little as two of the text, and real programs hold a few dozen.
constexpr int64_t kMaxChildren = 1 << 18;

Type parse_tensor_type(Scanner& in, size_t start) {
  in.expect('<', "after", "tensor");
  const size_t at = in.offset();
  const auto dtype = dtype_named(in.peek_word());
  if (!dtype) in.fail_expected("an element type such as fp16");
  in.accept_word(in.peek_word());
  in.expect(',', "after", name_of(*dtype));
  if (in.accept('?')) {
    in.expect('>', "at the end of a tensor type");
    return Type::unranked(*dtype);
  }
  in.expect('[', "before the extents of a tensor type");
  Shape shape, known;
  if (!in.accept(']')) {
    do {
      if (shape.size() == kMaxRank) {
        in.fail_at(at, fmt::format("expected a rank of at most {}", kMaxRank));
      }
      shape.push_back(in.accept('?') ? kUnknownDim : in.extent("an extent or '?'"));
      if (shape.back() >= 0) known.push_back(shape.back());
    } while (in.accept(','));
    in.expect(']', "after the extents of a tensor type");
  }
  in.expect('>', "at the end of a tensor type");
  try {
    (void)bytes_of(*dtype, count_of(known));
  } catch (const Error& e) {
    in.fail_at(start, e.message());
  }
  return Type::tensor(*dtype, std::move(shape));
}

Type parse_type_at(Scanner& in, int depth) {
  const size_t start = in.offset();
  if (depth > kMaxDepth) {
    in.fail(fmt::format("expected types nested at most {} deep, got more", kMaxDepth));
  }
  const std::string_view word = in.peek_word();
  in.accept_word(word);
  if (word == "tensor") return parse_tensor_type(in, start);
  if (const auto dtype = dtype_named(word)) return Type::scalar(*dtype);
  std::vector<Type> elements;
  if (word == "state") {
    in.expect('<', "after", word);
    elements.push_back(parse_type_at(in, depth + 1));
    if (!elements[0].is_tensor()) {
      in.fail_at(start, fmt::format("a state wraps a tensor, not {}", elements[0].str()));
    }
    in.expect('>', "at the end of a state type");
    return Type::state(std::move(elements[0]));
  }
  if (word == "list") {
    in.expect('<', "after", word);
    elements.push_back(parse_type_at(in, depth + 1));
    in.expect(',', "before the length of a list type");
    const int64_t length = in.accept('?') ? kUnknownDim : in.extent("a length or '?'");
    in.expect('>', "at the end of a list type");
    return Type::list(std::move(elements[0]), length);
  }
  if (word == "dict") {
    in.expect('<', "after", word);
    elements.push_back(parse_type_at(in, depth + 1));
    in.expect(',', "after the key of a dict type");
    elements.push_back(parse_type_at(in, depth + 1));
    in.expect('>', "at the end of a dict type");
    return Type::dict(std::move(elements[0]), std::move(elements[1]));
  }
  if (word == "tuple") {
    in.expect('<', "after", word);
    if (in.accept('>')) return Type::tuple({});
    do {
      elements.push_back(parse_type_at(in, depth + 1));
    } while (in.accept(','));
    in.expect('>', "at the end of a tuple type");
    return Type::tuple(std::move(elements));
  }
  in.rewind(start);
  in.fail_expected("a type");
}

// Reads the brackets of a tensor literal, filling in the extents that its type leaves open.
class LiteralReader {
 public:
  LiteralReader(Scanner& in, const Type& type)
      : in_(in), type_(type), shape_(type.shape()), elements_(type.dtype()) {}

  Tensor read() {
    axis(0);
    // An extent stays open only where an outer one is 0.
    std::replace(shape_.begin(), shape_.end(), kUnknownDim, int64_t{0});
    return elements_.tensor(shape_);
  }

 private:
  void axis(size_t axis) {
    if (axis == shape_.size()) return elements_.read(in_);
    const size_t start = in_.offset();
    if (!in_.accept('[')) {
      in_.fail_expected(fmt::format("'[' before axis {} of {}", axis, type_.str()));
    }
    int64_t count = 0;
    if (!in_.accept(']')) {
      do {
        if (count == shape_[axis]) {
          in_.fail(fmt::format("expected {} along axis {} of {}, got more", shape_[axis], axis,
                               type_.str()));
        }
        this->axis(axis + 1);
        ++count;
      } while (in_.accept(','));
      if (!in_.accept(']')) {
        in_.fail_expected(fmt::format("']' after axis {} of {}", axis, type_.str()));
      }
    }
    if (shape_[axis] == kUnknownDim) shape_[axis] = count;
    if (count == shape_[axis] || (count == 0 && is_empty_from(axis))) return;
    in_.fail_at(start, fmt::format("expected {} along axis {} of {}, got {}", shape_[axis], axis,
                                   type_.str(), count));
  }

  // `[]` stands for any tensor without elements.
  [[nodiscard]] bool is_empty_from(size_t axis) const {
    return std::find(shape_.begin() + static_cast<int64_t>(axis), shape_.end(), 0) != shape_.end();
  }

  Scanner& in_;
  const Type& type_;
  Shape shape_;
  Elements elements_;
};

// One rank-0 literal: type "(" element ")".
Tensor parse_scalar(Scanner& in) {
  const Type type = parse_type(in);
  if (!type.is_tensor() || type.rank() != 0) {
    in.fail(fmt::format("expected a scalar, got {}", type.str()));
  }
  in.expect('(', "after the type of a value");
  Elements elements(type.dtype());
  elements.read(in);
  in.expect(')', "after a value");
  return elements.tensor({});
}

BlobRef parse_blob_ref(Scanner& in, size_t start) {
  std::optional<std::string> path;
  std::optional<uint64_t> offset;
  in.expect('(', "after", "BLOBFILE");
  do {
    const size_t at = in.offset();
    const std::string key = in.name("'path' or 'offset'");
    in.expect('=', "after", key);
    const Tensor scalar = parse_scalar(in);
    if (key == "path" && !path && scalar.dtype() == DType::kString) {
      path = scalar.data<std::string>()[0];
    } else if (key == "offset" && !offset && is_integer(scalar.dtype()) &&
               (scalar.dtype() == DType::kU64 || scalar.integer_at(0) >= 0)) {
      offset = static_cast<uint64_t>(scalar.integer_at(0));
    } else {
      in.fail_at(at, "expected BLOBFILE(path = string(..), offset = uint64(..))");
    }
  } while (in.accept(','));
  in.expect(')', "at the end of", "BLOBFILE");
  if (!path || !offset) {
    in.fail_at(start, "expected BLOBFILE(path = string(..), offset = uint64(..))");
  }
  return {std::move(*path), *offset};
}

}  // namespace

Type parse_type(Scanner& in) { return parse_type_at(in, 1); }

ConstantPtr ValueParser::typed() {
  const Type type = parse_type(in_);
  in_.expect('(', "after the type of a value");
  ConstantPtr constant = value(type);
  in_.expect(')', "after a value");
  return constant;
}

ConstantPtr ValueParser::value(const Type& type) {
  switch (type.kind()) {
    case Type::Kind::kTensor:
      return tensor(type);
    case Type::Kind::kList:
      return list(type);
    case Type::Kind::kTuple:
      return tuple(type);
    case Type::Kind::kDict:
      return dict(type);
    case Type::Kind::kState:
      break;
  }
  in_.fail("a state cannot be written as a value; pass it as an input of the function");
}

ConstantPtr ValueParser::tensor(const Type& type) {
  if (in_.peek_word() == "BLOBFILE") return blob(type);
  if (!type.has_rank()) in_.fail(fmt::format("expected a value of known rank, got {}", type.str()));
  return Constant::tensor(LiteralReader(in_, type).read());
}

ConstantPtr ValueParser::blob(const Type& type) {
  const size_t start = in_.offset();
  in_.accept_word("BLOBFILE");
  BlobRef ref = parse_blob_ref(in_, start);
  if (!type.is_static() || type.dtype() == DType::kString) {
    in_.fail_at(
        start, fmt::format("expected numbers of a known shape in a blob file, got {}", type.str()));
  }
  if (blobs_ == nullptr) return Constant::absent_blob(type, std::move(ref));
  Tensor tensor =
      in_context([&] { return in_.where(start); }, [&] { return blobs_->resolve(type, ref); });
  MW_CHECK(tensor.dtype() == type.dtype() && tensor.shape() == type.shape());
  return Constant::blob(std::move(tensor), std::move(ref));
}

void ValueParser::add_child(std::vector<ConstantPtr>& children, const Type& type) {
  if (++children_ > kMaxChildren) {
    in_.fail(fmt::format("expected at most {} elements in the lists, tuples and dicts of a program",
                         kMaxChildren));
  }
  children.push_back(value(type));
}

ConstantPtr ValueParser::list(const Type& type) {
  const size_t start = in_.offset();
  in_.expect('[', "at the start of a list");
  std::vector<ConstantPtr> children;
  if (!in_.accept(']')) {
    do {
      add_child(children, type.element());
    } while (in_.accept(','));
    in_.expect(']', "at the end of a list");
  }
  if (type.length() >= 0 && type.length() != static_cast<int64_t>(children.size())) {
    in_.fail_at(start, fmt::format("expected {} elements for {}, got {}", type.length(), type.str(),
                                   children.size()));
  }
  return Constant::aggregate(type, std::move(children));
}

ConstantPtr ValueParser::tuple(const Type& type) {
  in_.expect('(', "at the start of a tuple");
  std::vector<ConstantPtr> children;
  for (const Type& element : type.elements()) {
    if (!children.empty()) in_.expect(',', "between the elements of a tuple");
    add_child(children, element);
  }
  in_.expect(')', "at the end of a tuple");
  return Constant::aggregate(type, std::move(children));
}

ConstantPtr ValueParser::dict(const Type& type) {
  in_.expect('{', "at the start of a dict");
  std::vector<ConstantPtr> children;
  if (!in_.accept('}')) {
    do {
      in_.expect('{', "before a key of a dict");
      add_child(children, type.elements()[0]);
      in_.expect(',', "between key and value of a dict");
      add_child(children, type.elements()[1]);
      in_.expect('}', "after a value of a dict");
    } while (in_.accept(','));
    in_.expect('}', "at the end of a dict");
  }
  return Constant::aggregate(type, std::move(children));
}

}  // namespace mw::ir::text
