// What exceptions of other libraries come to, and what makes every message one printable line.
#include "base/error.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <ios>
#include <new>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

#include "base/printable.h"
#include "base/spelled.h"

namespace mw {
namespace {

// A thread that cannot be started is told as EAGAIN.
ErrorCode code_of(const std::error_code& error) {
  const bool memory =
      error == std::errc::not_enough_memory || error == std::errc::resource_unavailable_try_again;
  return memory ? ErrorCode::kOutOfMemory : ErrorCode::kIo;
}

// Around the name of a setting in a message that is not yet told to anybody.
constexpr char kBegin = '\x0e', kEnd = '\x0f';

// The name that a mark at the beginning of `text` is around; nothing where there is no mark.
std::optional<std::string_view> marked_name(std::string_view text) {
  const size_t end = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_", 1);
  if (text.empty() || text[0] != kBegin || end == std::string_view::npos || end == 1) return {};
  if (text[end] != kEnd) return {};
  return text.substr(1, end - 1);
}

std::string as_it_is(std::string_view name, bool /*is_subject*/) { return std::string(name); }
std::string marked(std::string_view name, bool /*is_subject*/) { return setting(name); }

// One printable line, the settings in it as `spelling` has them.
std::string rewritten(std::string_view text, const Error::Spelling& spelling) {
  std::string line;
  for (size_t at = 0; at < text.size();) {
    const size_t next = std::min(text.find(kBegin, at), text.size());
    line += printable(text.substr(at, next - at));
    at = next;
    if (const auto name = marked_name(text.substr(at))) {
      line += spelling(*name, at == 0);
      at += name->size() + 2;
    } else if (at < text.size()) {
      line += printable(text.substr(at++, 1));
    }
  }
  return line;
}

std::string joined(const std::string& where, const std::string& message) {
  return where.empty() ? message : message.empty() ? where : where + ": " + message;
}

}  // namespace

std::optional<Error> known_error() {
  try {
    throw;
  } catch (const Error& e) {
    return e;
  } catch (const std::filesystem::filesystem_error& e) {
    return Error(code_of(e.code()), "cannot be reached: " + e.code().message(), e.path1().string());
  } catch (const std::ios_base::failure&) {
    return Error(ErrorCode::kIo, "a file cannot be read or written");
  } catch (const std::system_error& e) {
    return Error(code_of(e.code()), "the operating system refuses: " + e.code().message());
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kOutOfMemory, "out of memory");
  } catch (const std::length_error&) {
    return Error(ErrorCode::kOutOfMemory, "out of memory");
  } catch (const nlohmann::json::exception& e) {
    return Error(ErrorCode::kInvalidArgument, std::string("unexpected JSON: ") + e.what());
  } catch (...) {
    return std::nullopt;
  }
}

std::string setting(std::string_view name) { return fmt::format("{}{}{}", kBegin, name, kEnd); }

std::string spelled(std::string_view text, const Error::Spelling& spelling) {
  return rewritten(text, spelling);
}

Error::Error(ErrorCode code, const std::string& message, const std::string& where)
    : std::runtime_error(rewritten(joined(where, message), as_it_is)),
      code_(code),
      marked_message_(rewritten(message, marked)),
      marked_where_(rewritten(where, marked)),
      message_(rewritten(message, as_it_is)),
      where_(rewritten(where, as_it_is)) {
  rewritten(message, [this](std::string_view name, bool) {
    if (setting_.empty()) setting_ = name;
    return std::string();
  });
}

Error Error::within(std::string_view context) const {
  const std::string outer = rewritten(context, as_it_is);
  if (where_ == outer || where_.starts_with(outer + ": ")) return *this;
  return {code_, marked_message_, joined(rewritten(context, marked), marked_where_)};
}

std::string Error::spelled(const Spelling& spelling) const {
  const std::string where = rewritten(marked_where_, spelling);
  return joined(where, rewritten(marked_message_, spelling));
}

Error current_error() {
  if (std::optional<Error> known = known_error()) return *std::move(known);
  try {
    throw;
  } catch (const std::exception& e) {
    return {ErrorCode::kInternal, fmt::format("internal error: {}; report it", e.what())};
  } catch (...) {
    return {ErrorCode::kInternal, "internal error: an exception of an unknown type; report it"};
  }
}

void rethrow_within(std::string_view where) {
  if (const std::optional<Error> known = known_error()) throw known->within(where);
  throw;
}

}  // namespace mw
