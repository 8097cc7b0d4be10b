// chart(): a line chart as inline SVG that takes its colours from the page around it.
#pragma once

#include <string>
#include <vector>

namespace mw::training {

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;  // x ascending
  bool faint = false;                             // drawn light, behind the others
  bool dots = false;                              // each point marked and named under the pointer
};

// The colour of series k is the variable --series-K of the style sheet. Points that are not finite
// interrupt a line. Empty when there is no point to draw. `wide`: for the width of a page, not of a
// column, so that letters are of one size.
std::string chart(const std::string& title, const std::vector<Series>& series, bool wide);

std::string escaped(const std::string& text);  // for HTML

}  // namespace mw::training
