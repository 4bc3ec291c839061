// The component http, as its users link it.
#include <wisp/http/gateway.hpp>

#include "parcel.hpp"

int main() {
  const auto weigh = wisp::function("weigh", [](const Parcel& parcel) { return parcel.kg; });
  wisp::Runtime runtime{wisp::Catalogue().add(weigh)};
  wisp::http::Gateway gateway{runtime, {.port = 0}};
  gateway.post("/weigh", weigh);
  return gateway.start().ok() && gateway.port() != 0 ? 0 : 1;
}
