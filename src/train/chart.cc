// Scales, axes and lines of the charts in a report.
#include "train/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace mw::training {
namespace {

constexpr double kWide = 720, kNarrow = 400, kHeight = 250, kLeft = 62, kRight = 24, kTop = 14,
                 kBottom = 44;
constexpr size_t kMostPoints = 1200;

struct Bounds {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void take(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  // Room around the numbers; what is never negative gets no axis below zero, and a range of one
  // number reaches to zero.
  void widen() {
    const bool one = high == low;
    if (one && high >= 0) low = 0;
    const double room = high > low ? (high - low) * (one ? 0.25 : 0.05) : 0.5;
    low = low >= 0 ? std::max(0.0, low - room) : low - room;
    high += room;
  }
};

struct Scale {
  Bounds x, y;
  double width;
  [[nodiscard]] double at_x(double v) const {
    return kLeft + (v - x.low) / (x.high - x.low) * (width - kLeft - kRight);
  }
  [[nodiscard]] double at_y(double v) const {
    return kHeight - kBottom - (v - y.low) / (y.high - y.low) * (kHeight - kTop - kBottom);
  }
};

// 1, 2 or 5 times a power of ten, so that about `count` of them fill the range.
double tick_of(double range, int count) {
  const double rough = range / count, power = std::pow(10, std::floor(std::log10(rough)));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (step * power >= rough) return step * power;
  }
  return 10 * power;
}

template <class Draw>
void for_each_tick(const Bounds& bounds, int count, const Draw& draw) {
  const double step = tick_of(bounds.high - bounds.low, count);
  for (double k = std::ceil(bounds.low / step); k * step <= bounds.high; ++k) {
    draw(k == 0 ? 0.0 : k * step);
  }
}

std::string axes(const Scale& scale) {
  std::string svg;
  for_each_tick(scale.y, 6, [&](double value) {
    const double y = scale.at_y(value);
    svg +=
        fmt::format(R"svg(<line class="rule" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>)svg"
                    R"svg(<text class="tick end" x="{:.1f}" y="{:.1f}">{:.4g}</text>)svg",
                    kLeft, scale.width - kRight, y, y, kLeft - 8, y + 4, value);
  });
  for_each_tick(scale.x, scale.width < kWide ? 5 : 8, [&](double value) {
    if (value < 0 || value != std::floor(value)) return;
    svg += fmt::format(R"svg(<text class="tick mid" x="{:.1f}" y="{:.1f}">{:.0f}</text>)svg",
                       scale.at_x(value), kHeight - kBottom + 18, value);
  });
  return svg + fmt::format(R"svg(<text class="tick end" x="{:.1f}" y="{:.1f}">step</text>)svg",
                           scale.width - kRight, kHeight - 6);
}

// Many points become the least and the largest of each stretch, so that no spike is lost.
std::vector<std::pair<double, double>> thinned(const Series& series) {
  const auto& all = series.points;
  if (series.dots || all.size() <= kMostPoints) return all;
  std::vector<std::pair<double, double>> kept;
  const size_t stretch = (all.size() + kMostPoints / 2 - 1) / (kMostPoints / 2);
  for (size_t begin = 0; begin < all.size(); begin += stretch) {
    const auto first = all.begin() + static_cast<int64_t>(begin);
    const auto last = all.begin() + static_cast<int64_t>(std::min(begin + stretch, all.size()));
    auto [low, high] = std::minmax_element(
        first, last, [](const auto& a, const auto& b) { return a.second < b.second; });
    if (high < low) std::swap(low, high);
    kept.push_back(*low);
    if (high != low) kept.push_back(*high);
  }
  return kept;
}

// A point whose neighbours are missing has no line through it and gets a dot in any case.
std::string line(const Series& series, size_t index, const Scale& scale) {
  std::string path, dots;
  const auto points = thinned(series);
  const auto drawn = [&](size_t i) { return i < points.size() && std::isfinite(points[i].second); };
  for (size_t i = 0; i < points.size(); ++i) {
    if (!drawn(i)) continue;
    const auto& [x, y] = points[i];
    const bool begins = i == 0 || !drawn(i - 1);
    path += fmt::format("{}{:.1f} {:.1f}", begins ? "M" : "L", scale.at_x(x), scale.at_y(y));
    if (!series.dots && !(begins && !drawn(i + 1))) continue;
    dots += fmt::format(
        R"svg(<circle cx="{:.1f}" cy="{:.1f}" r="3.5" fill="var(--series-{})"><title>{}{}step {:.0f}: {:.5g}</title></circle>)svg",
        scale.at_x(x), scale.at_y(y), index, escaped(series.name),
        series.name.empty() ? "" : " at ", x, y);
  }
  return fmt::format(R"svg(<path class="line{}" stroke="var(--series-{})" d="{}"/>{})svg",
                     series.faint ? " faint" : "", index, path, dots);
}

std::string legend(const std::vector<Series>& series) {
  std::string html;
  for (size_t i = 0; i < series.size(); ++i) {
    if (series[i].points.empty() || series[i].name.empty()) continue;
    html += fmt::format(R"svg(<span><i style="background:var(--series-{})"{}></i>{}</span>)svg", i,
                        series[i].faint ? R"svg( class="faint")svg" : "", escaped(series[i].name));
  }
  return html;
}

}  // namespace

std::string escaped(const std::string& text) {
  std::string html;
  for (const char c : text) {
    switch (c) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '"':
        html += "&quot;";
        break;
      default:
        html += c;
    }
  }
  return html;
}

std::string chart(const std::string& title, const std::vector<Series>& series, bool wide) {
  Scale scale{{}, {}, wide ? kWide : kNarrow};
  for (const Series& one : series) {
    for (const auto& [x, y] : one.points) {
      if (!std::isfinite(y)) continue;
      scale.x.take(x);
      scale.y.take(y);
    }
  }
  if (!std::isfinite(scale.x.low)) return "";
  scale.y.widen();
  if (scale.x.low == scale.x.high) scale.x.widen();
  std::string lines;
  for (size_t i = 0; i < series.size(); ++i) lines += line(series[i], i, scale);
  return fmt::format(
      R"svg(<figure{}><figcaption><h2>{}</h2><p class="legend">{}</p></figcaption>)svg"
      R"svg(<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg></figure>)svg"
      "\n",
      wide ? R"svg( class="wide")svg" : "", escaped(title), legend(series), scale.width, kHeight,
      escaped(title), axes(scale), lines);
}

}  // namespace mw::training
