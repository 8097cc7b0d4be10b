// match_names(): one prefix is sought under which every name is found.
#include "adapters/module_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

namespace mw::adapters {
namespace {

// What is put before a wanted name, or taken off it, to get a known one.
struct Prefix {
  std::string added, removed;
  friend auto operator<=>(const Prefix&, const Prefix&) = default;
};

// A part that is a number chooses among layers: no wrapper is called so.
bool may_be_wrapper(const std::string& prefix) {
  bool number = false, letters = false;
  for (const char c : prefix) {
    if (c == '_') {
      if (number && !letters) return false;
      number = letters = false;
    } else if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
      number = true;
    } else {
      letters = true;
    }
  }
  return !(number && !letters);
}

std::set<Prefix> prefixes_for(const std::string& wanted, const std::vector<KnownName>& known) {
  std::set<Prefix> prefixes;
  for (const KnownName& name : known) {
    const std::string& k = name.plain;
    if (k == wanted) {
      prefixes.insert(Prefix());
    } else if (k.ends_with("_" + wanted)) {
      prefixes.insert({k.substr(0, k.size() - wanted.size()), ""});
    } else if (wanted.ends_with("_" + k)) {
      prefixes.insert({"", wanted.substr(0, wanted.size() - k.size())});
    }
  }
  std::erase_if(prefixes, [](const Prefix& prefix) {
    return !may_be_wrapper(prefix.added) || !may_be_wrapper(prefix.removed);
  });
  return prefixes;
}

std::string with(const Prefix& prefix, const std::string& name) {
  if (!name.starts_with(prefix.removed)) return "";
  return prefix.added + name.substr(prefix.removed.size());
}

}  // namespace

std::string plain_name(const std::string& name) {
  std::string plain;
  for (const char c : name) {
    const bool keep = std::isalnum(static_cast<unsigned char>(c)) != 0;
    if (keep) {
      plain += c;
    } else if (!plain.empty() && plain.back() != '_') {
      plain += '_';
    }
  }
  while (!plain.empty() && plain.back() == '_') plain.pop_back();
  return plain;
}

std::string module_of_weight(const std::string& name) {
  constexpr std::string_view kWeight = "_weight";
  std::string plain = plain_name(name);
  for (size_t at = plain.rfind(kWeight); at != std::string::npos && at > 0;
       at = plain.rfind(kWeight, at - 1)) {
    const size_t end = at + kWeight.size();
    if (end == plain.size() || plain[end] == '_') return plain.substr(0, at);
  }
  return plain;
}

NameMatches match_names(const std::vector<std::string>& wanted,
                        const std::vector<KnownName>& known) {
  NameMatches matches;
  if (wanted.empty()) return matches;
  std::map<std::string, std::set<size_t>> places;
  for (const KnownName& name : known) places[name.plain].insert(name.place);
  std::vector<Prefix> complete;
  size_t most = 0;
  std::string missing = wanted[0];
  for (const Prefix& prefix : prefixes_for(wanted[0], known)) {
    const auto absent = [&](const std::string& name) {
      return !places.contains(with(prefix, name));
    };
    const auto lacking = static_cast<size_t>(std::count_if(wanted.begin(), wanted.end(), absent));
    if (lacking == 0) {
      complete.push_back(prefix);
    } else if (wanted.size() - lacking > most) {
      most = wanted.size() - lacking;
      missing = *std::find_if(wanted.begin(), wanted.end(), absent);
    }
  }
  if (complete.empty()) {
    matches.problem = fmt::format("'{}' is like no name there", missing);
    return matches;
  }
  // The names as they are count more than any prefix; it sorts first.
  if (complete.size() > 1 && complete[0] != Prefix{}) {
    matches.problem = fmt::format("'{}' may be '{}' or '{}'", wanted[0],
                                  with(complete[0], wanted[0]), with(complete[1], wanted[0]));
    return matches;
  }
  for (const std::string& name : wanted) {
    const std::set<size_t>& found = places.at(with(complete[0], name));
    if (found.size() > 1) {
      matches.problem = fmt::format("'{}' is the name of {} of them", name, found.size());
      return matches;
    }
    matches.places.push_back(*found.begin());
  }
  return matches;
}

}  // namespace mw::adapters
