// A gateway for bench/http: a fixed answer, and a metered function behind a typed route.
//
//   http_ours    prints its port, and serves until its input ends
#include <cstdio>
#include <string>

#include <wisp/http/gateway.hpp>
#include <wisp/wisp.hpp>

namespace {

struct Parcel {
  double kg = 0;
  std::string country;
};
WISP_FIELDS(Parcel, kg, country)

struct Price {
  std::int64_t cents = 0;
};
WISP_FIELDS(Price, cents)

Price price_of(const Parcel& parcel) { return {static_cast<std::int64_t>(490 + 120 * parcel.kg)}; }

}  // namespace

int main() {
  const auto here = wisp::function("here", &price_of);
  const auto pool = wisp::function("pool", &price_of);
  wisp::Runtime runtime{wisp::Catalogue().add(here).add(pool)};
  wisp::http::Gateway gateway{runtime, {.port = 0}};
  gateway.post("/price", here, {.run = wisp::http::Run::here}).post("/pool", pool);
  if (const wisp::Status begun = gateway.start(); !begun.ok()) {
    fmt::print(stderr, "{}\n", wisp::message(begun));
    return 1;
  }
  fmt::print("{}\n", gateway.port());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return gateway.stop(std::chrono::seconds(1)).ok() ? 0 : 1;
}
