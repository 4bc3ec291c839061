// A day as a picture: demand and capacity, and below it what was spent.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "day.hpp"

namespace replay {

// SVG, of days with samples of the same trace under some policies.
std::string svg(const std::vector<std::pair<std::string, Day>>& days);

}  // namespace replay
