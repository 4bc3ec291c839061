#include <wisp/wisp.hpp>

#include "parcel.hpp"

namespace billing {

WISP_FUNCTION(price_parcel, .timeout = std::chrono::milliseconds(200), .retry = {.attempts = 3}) =
    [](const Parcel& parcel, wisp::Context&) -> wisp::Result<wisp::Money> {
  if (parcel.kg <= 0) return wisp::invalid_argument("a parcel weighs something");
  return wisp::Money::cents(BASE_RATE + cents_per_kg() * parcel.kg);
};

}  // namespace billing
