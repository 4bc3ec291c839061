// Functions that another file declares have to be in the program.
#include <cstdio>
#include <wisp/wisp.hpp>

#include "parcel.hpp"

int main() {
  wisp::Runtime runtime{wisp::linked_functions()};
  const wisp::Status there = runtime.expect({"price_parcel", "refund"});
  if (!there.ok()) return std::printf("%s\n", wisp::to_string(there).c_str()), 1;
  if (runtime.expect({"price_parcel", "no_such"}).ok()) return std::puts("expect() is blind"), 1;

  const auto price = wisp::named<wisp::Money(Parcel)>("price_parcel");
  const wisp::Result<wisp::Money> cost = runtime.call(price, {2.0, "PT"});
  if (!cost.ok() || *cost != wisp::Money::cents(730)) return std::puts("a wrong price"), 1;
  return 0;
}
