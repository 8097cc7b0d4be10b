// What exceptions of other libraries come to, and what makes every message one printable line.
#include "base/error.h"

#include <cerrno>
#include <filesystem>
#include <ios>
#include <new>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

#include "base/printable.h"

namespace mw {
namespace {

// A thread that cannot be started is told as EAGAIN.
ErrorCode code_of(const std::error_code& error) {
  const bool memory =
      error == std::errc::not_enough_memory || error == std::errc::resource_unavailable_try_again;
  return memory ? ErrorCode::kOutOfMemory : ErrorCode::kIo;
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

Error::Error(ErrorCode code, const std::string& message, const std::string& where)
    : std::runtime_error(printable(where.empty() ? message : where + ": " + message)),
      code_(code),
      message_(printable(message)),
      where_(printable(where)) {}

Error Error::within(std::string_view context) const {
  const std::string outer = printable(context);
  if (where_ == outer || where_.starts_with(outer + ": ")) return *this;
  return {code_, message_, where_.empty() ? outer : outer + ": " + where_};
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
