// Tokenizer and StreamDecoder over the C ABI of the Rust crate in tokenizer/.
#include "millwright/tokenizer.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/mapped_file.h"
#include "text/tokenizer_files.h"
#include "tokenizer_abi.h"

namespace mw {
namespace {

constexpr size_t kMaxFileBytes = size_t{256} << 20;

// Owns bytes of the library.
class Bytes {
 public:
  Bytes() = default;
  ~Bytes() { mw_tok_bytes_free(bytes_); }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;

  MwTokBytes* out() { return &bytes_; }
  [[nodiscard]] std::string text() const {
    return {reinterpret_cast<const char*>(bytes_.data), bytes_.size};
  }

 private:
  MwTokBytes bytes_{nullptr, 0};
};

struct Free {
  void operator()(const MwTok* p) const { mw_tok_free(p); }
  void operator()(MwTokEncoding* p) const { mw_tok_encoding_free(p); }
  void operator()(MwTokStream* p) const { mw_tok_stream_free(p); }
};
using TokPtr = std::unique_ptr<const MwTok, Free>;
using EncodingPtr = std::unique_ptr<MwTokEncoding, Free>;
using StreamPtr = std::unique_ptr<MwTokStream, Free>;

const uint8_t* bytes_of(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

void check(int32_t code, const Bytes& error, const std::string& path, std::string_view argument) {
  if (code == kMwTokOk) return;
  if (code == kMwTokBadArgument) {
    fail(ErrorCode::kInvalidArgument, "tokenizer '{}': {}: {}", path, argument, error.text());
  }
  fail(ErrorCode::kInvalidModel, "tokenizer '{}': {}", path, error.text());
}

// A copy, since Rust may not read memory that another process can change.
std::string read(const std::string& path) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  if (bytes.size() > kMaxFileBytes) {
    fail(ErrorCode::kInvalidModel, "'{}': expected at most {} bytes, got {}", path, kMaxFileBytes,
         bytes.size());
  }
  std::string copy(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  file->check_intact();
  return copy;
}

TokPtr load(const std::string& path) {
  const std::string json = in_context([] { return "tokenizer"; }, [&] { return read(path); });
  const MwTok* tok = nullptr;
  Bytes error;
  if (mw_tok_load(bytes_of(json), json.size(), &tok, error.out()) != kMwTokOk) {
    fail(ErrorCode::kInvalidModel,
         "tokenizer '{}': expected a Hugging Face tokenizer.json, got: {}", path, error.text());
  }
  return TokPtr(tok);
}

}  // namespace

struct Tokenizer::Impl {
  std::string path;
  TokPtr tok;
  std::vector<int32_t> special_ids;
  std::vector<int32_t> end_of_text_ids;

  [[nodiscard]] std::optional<int32_t> id_of(std::string_view token) const {
    const int64_t id = mw_tok_id_of(tok.get(), bytes_of(token), token.size());
    return id < 0 ? std::nullopt : std::optional(static_cast<int32_t>(id));
  }

  [[nodiscard]] std::optional<std::string> token_of(int32_t id) const {
    Bytes token;
    if (!mw_tok_token_of(tok.get(), id, token.out())) return std::nullopt;
    return token.text();
  }

  [[nodiscard]] EncodingPtr encode(std::string_view text, bool special, bool pieces) const {
    MwTokEncoding* encoding = nullptr;
    Bytes error;
    check(mw_tok_encode(tok.get(), bytes_of(text), text.size(), special, pieces, &encoding,
                        error.out()),
          error, path, "text");
    return EncodingPtr(encoding);
  }

  // A name or id that has no token here says nothing about the end of a text.
  void find_end_of_text() {
    const auto stated = text::end_of_text_in(std::filesystem::path(path).parent_path());
    for (const std::string& token : stated.tokens) {
      if (const auto id = id_of(token)) end_of_text_ids.push_back(*id);
    }
    for (const int64_t id : stated.ids) {
      if (id < 0 || id > std::numeric_limits<int32_t>::max()) continue;
      if (token_of(static_cast<int32_t>(id))) end_of_text_ids.push_back(static_cast<int32_t>(id));
    }
    if (end_of_text_ids.empty()) {
      for (const std::string& token : text::well_known_end_of_text()) {
        const auto id = id_of(token);
        if (id && std::binary_search(special_ids.begin(), special_ids.end(), *id)) {
          end_of_text_ids.push_back(*id);
        }
      }
    }
    std::sort(end_of_text_ids.begin(), end_of_text_ids.end());
    end_of_text_ids.erase(std::unique(end_of_text_ids.begin(), end_of_text_ids.end()),
                          end_of_text_ids.end());
  }
};

Tokenizer Tokenizer::from_file(const std::string& path) {
  auto impl = std::make_shared<Impl>();
  impl->path = path;
  impl->tok = load(path);
  size_t count = 0;
  const int32_t* ids = mw_tok_special_ids(impl->tok.get(), &count);
  impl->special_ids.assign(ids, ids + count);
  impl->find_end_of_text();
  return Tokenizer(std::move(impl));
}

Tokenizer Tokenizer::find(const std::string& model_path, const std::string& named) {
  return from_file(text::find_tokenizer_file(model_path, named).string());
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  const EncodingPtr encoding = impl_->encode(text, add_special_tokens, /*pieces=*/false);
  size_t count = 0;
  const int32_t* ids = mw_tok_encoding_ids(encoding.get(), &count);
  return {ids, ids + count};
}

std::vector<Tokenizer::Piece> Tokenizer::encode_pieces(std::string_view text,
                                                       bool add_special_tokens) const {
  const EncodingPtr encoding = impl_->encode(text, add_special_tokens, /*pieces=*/true);
  std::vector<Piece> pieces;
  MwTokPiece piece{};
  for (size_t i = 0; mw_tok_encoding_piece(encoding.get(), i, &piece); ++i) {
    const auto* characters = reinterpret_cast<const char*>(piece.piece);
    pieces.push_back({piece.id, {characters, piece.piece_size}, piece.begin, piece.end});
  }
  return pieces;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  Bytes text;
  Bytes error;
  check(mw_tok_decode(impl_->tok.get(), ids.data(), ids.size(), skip_special_tokens, text.out(),
                      error.out()),
        error, impl_->path, "ids");
  return text.text();
}

int64_t Tokenizer::vocab_size() const {
  return static_cast<int64_t>(mw_tok_vocab_size(impl_->tok.get()));
}

int64_t Tokenizer::id_limit() const { return mw_tok_id_limit(impl_->tok.get()); }

std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const {
  return impl_->id_of(token);
}

std::optional<std::string> Tokenizer::id_to_token(int32_t id) const { return impl_->token_of(id); }

const std::vector<int32_t>& Tokenizer::special_ids() const { return impl_->special_ids; }

const std::vector<int32_t>& Tokenizer::end_of_text_ids() const { return impl_->end_of_text_ids; }

bool Tokenizer::is_end_of_text(int32_t id) const {
  return std::binary_search(impl_->end_of_text_ids.begin(), impl_->end_of_text_ids.end(), id);
}

void Tokenizer::check_fits(int64_t model_vocab) const {
  if (id_limit() <= model_vocab) return;
  fail(ErrorCode::kInvalidArgument,
       "tokenizer '{}': vocabulary: expected ids below the model's {} tokens, got ids up to {} of "
       "{} tokens; give the model's own tokenizer as {}",
       impl_->path, model_vocab, id_limit() - 1, vocab_size(), setting("tokenizer"));
}

const std::string& Tokenizer::path() const { return impl_->path; }

struct StreamDecoder::Impl {
  std::string path;
  StreamPtr stream;
};

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
    : impl_(std::make_unique<Impl>()) {
  impl_->path = tokenizer.path();
  MwTokStream* stream = nullptr;
  Bytes error;
  check(mw_tok_stream_new(tokenizer.impl_->tok.get(), skip_special_tokens, &stream, error.out()),
        error, impl_->path, "stream");
  impl_->stream.reset(stream);
}

StreamDecoder::StreamDecoder(StreamDecoder&& other) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder&& other) noexcept = default;
StreamDecoder::~StreamDecoder() = default;

std::string StreamDecoder::push(int32_t id) {
  Bytes text;
  Bytes error;
  check(mw_tok_stream_push(impl_->stream.get(), id, text.out(), error.out()), error, impl_->path,
        "id");
  return text.text();
}

std::string StreamDecoder::flush() {
  Bytes text;
  Bytes error;
  check(mw_tok_stream_flush(impl_->stream.get(), text.out(), error.out()), error, impl_->path,
        "stream");
  return text.text();
}

}  // namespace mw
