// Profile: sums over rows.
#include "exec/profile.h"

#include <algorithm>
#include <tuple>

namespace mw::exec {
namespace {

void sort_rows(std::vector<ProfileRow>& rows) {
  std::stable_sort(rows.begin(), rows.end(),
                   [](const ProfileRow& a, const ProfileRow& b) { return a.seconds > b.seconds; });
}

void accumulate(std::vector<ProfileRow>& rows, const ProfileRow& row) {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const ProfileRow& known) {
    return std::tie(known.kind, known.op, known.name) == std::tie(row.kind, row.op, row.name);
  });
  if (found == rows.end()) {
    rows.push_back(row);
    return;
  }
  found->calls += row.calls;
  found->seconds += row.seconds;
  found->flops += row.flops;
  found->bytes += row.bytes;
  found->copied += row.copied;
}

}  // namespace

double Profile::seconds() const {
  double total = 0;
  for (const ProfileRow& row : rows) total += row.seconds;
  return total;
}

double Profile::flops() const {
  double total = 0;
  for (const ProfileRow& row : rows) total += row.flops;
  return total;
}

int64_t Profile::copied() const {
  int64_t total = 0;
  for (const ProfileRow& row : rows) total += row.copied;
  return total;
}

double Profile::flop_share(std::string_view kind) const {
  double part = 0;
  for (const ProfileRow& row : rows) part += row.kind == kind ? row.flops : 0;
  const double total = flops();
  return total > 0 ? part / total : 0;
}

std::vector<ProfileRow> Profile::by_kind() const {
  std::vector<ProfileRow> kinds;
  for (ProfileRow row : rows) {
    row.op.clear();
    row.name.clear();
    accumulate(kinds, row);
  }
  sort_rows(kinds);
  return kinds;
}

void Profile::add(const ProfileRow& row) {
  accumulate(rows, row);
  sort_rows(rows);
}

}  // namespace mw::exec
