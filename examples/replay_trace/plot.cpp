#include "plot.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string_view>

#include <fmt/format.h>

namespace replay {
namespace {

constexpr int kLeft = 70;
constexpr int kWidth = 720;
constexpr int kHeight = 180;
constexpr int kTop = 34;
constexpr const char* kColours[] = {"#c2410c", "#0a7d55", "#1d4ed8", "#7c3aed"};
constexpr const char* kDemand = "#cbd5e1";

// A round number above all.
double ceiling(double most) {
  if (most <= 0) return 1;
  const double unit = std::pow(10, std::floor(std::log10(most)));
  for (const double times : {1.0, 2.0, 5.0})
    if (most <= times * unit) return times * unit;
  return 10 * unit;
}

class Panel {
 public:
  Panel(std::string& text, int top, double most, std::size_t points, std::string_view unit)
      : text_(text), base_(top + kHeight), most_(ceiling(most)), points_(points) {
    text_ += fmt::format("<path d=\"M{0} {1}V{2}H{3}\" fill=\"none\" stroke=\"#94a3b8\"/>\n", kLeft,
                         top, base_, kLeft + kWidth);
    for (const double share : {0.0, 0.5, 1.0}) {
      text_ += fmt::format("<text x=\"{}\" y=\"{:.0f}\" text-anchor=\"end\">{}{:g}</text>\n",
                           kLeft - 6, base_ - share * kHeight + 4, unit, share * most_);
    }
  }

  template <class Of>
  std::string line(const std::vector<Sample>& samples, const Of& of) const {
    std::string points;
    for (std::size_t i = 0; i < samples.size(); ++i) {
      points += fmt::format("{:.1f},{:.1f} ", x(i), base_ - of(samples[i]) / most_ * kHeight);
    }
    return points;
  }
  double x(std::size_t point) const {
    const auto last = static_cast<double>(std::max<std::size_t>(points_ - 1, 1));
    return kLeft + static_cast<double>(point) / last * kWidth;
  }
  int base() const { return base_; }

 private:
  std::string& text_;
  const int base_;
  const double most_;
  const std::size_t points_;
};

double dollars(const Sample& sample) {
  return static_cast<double>(sample.spent.picodollars()) / 1e12;
}

}  // namespace

std::string svg(const std::vector<std::pair<std::string, Day>>& days) {
  std::string text = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" "
      "font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
      kLeft + kWidth + 20, 2 * kTop + 2 * kHeight + 30);
  double most = 0;
  double spent = 0;
  std::size_t points = 0;
  for (const auto& [policy, day] : days) {
    points = std::max(points, day.samples.size());
    for (const Sample& each : day.samples) {
      most = std::max({most, double(each.in_flight), double(each.instances)});
      spent = std::max(spent, dollars(each));
    }
  }
  const Panel upper(text, kTop, most, points, "");
  const std::vector<Sample>& first = days.front().second.samples;
  text += fmt::format(
      "<polygon points=\"{},{} {}{},{}\" fill=\"{}\"/>\n<text x=\"{}\" y=\"16\" "
      "fill=\"#64748b\">calls in "
      "flight</text>\n",
      kLeft, upper.base(), upper.line(first, [](const Sample& s) { return s.in_flight; }),
      upper.x(first.size() - 1), upper.base(), kDemand, kLeft);
  int x = kLeft + 110;
  for (std::size_t i = 0; i < days.size(); ++i) {
    const auto& [policy, day] = days[i];
    const char* const colour = kColours[i % std::size(kColours)];
    text +=
        fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\"/>\n",
                    upper.line(day.samples, [](const Sample& s) { return s.instances; }), colour);
    text += fmt::format("<text x=\"{}\" y=\"16\" fill=\"{}\">instances kept, {}</text>\n", x,
                        colour, policy);
    x += 200;
  }
  const Panel lower(text, 2 * kTop + kHeight, spent, points, "$");
  text += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"#334155\"/>\n",
                      lower.line(first, dollars));
  text += fmt::format("<text x=\"{}\" y=\"{}\" fill=\"#334155\">spent, by {}</text>\n", kLeft + 8,
                      2 * kTop + kHeight + 4, spent_by().name);
  for (std::size_t i = 0; i < points; i += 6 * 60 / kSample) {
    text += fmt::format("<text x=\"{:.0f}\" y=\"{}\" text-anchor=\"middle\">{} h</text>\n",
                        lower.x(i), lower.base() + 16, i * kSample / 60);
  }
  return text + "</svg>\n";
}

}  // namespace replay
