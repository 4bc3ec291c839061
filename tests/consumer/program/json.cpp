// The component json, as its users link it.
#include <vector>

#include <wisp/json/json.hpp>

#include "parcel.hpp"

int main() {
  const auto read = wisp::json::read<std::vector<Parcel>>(R"([{"kg": 2.5, "country": "PT"}])");
  return read.ok() && wisp::json::write(*read) == R"([{"kg":2.5,"country":"PT"}])" ? 0 : 1;
}
