#include <wisp/model/traceparent.hpp>

#include <set>
#include <string>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using wisp::EventId;
using wisp::parse_traceparent;
using wisp::traceparent;

constexpr const char* kGood = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

}  // namespace

TEST_CASE("traceparent: the recommendation's own examples", "[traceparent]") {
  const auto trace = parse_traceparent(kGood);
  REQUIRE(trace.ok());
  CHECK(*trace == EventId{0x0af7651916cd43ddU, 0x8448eb211c80319cU});
  CHECK(parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").ok());
  // A later version may say more.
  CHECK(parse_traceparent("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what").ok());
}

TEST_CASE("traceparent: what is none is refused, and named", "[traceparent]") {
  for (const char* bad : {
           "",
           "00",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
           "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what",
           "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
           "00-00000000000000000000000000000000-b7ad6b7169203331-01",
           "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
           "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
           "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
           "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
           " 0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
       }) {
    INFO(bad);
    const auto parsed = parse_traceparent(bad);
    CHECK(parsed.status().code() == wisp::StatusCode::kInvalidArgument);
    CHECK(wisp::message(parsed.status()).find("traceparent '") == 0);
  }
}

TEST_CASE("traceparent: goes out as it came in, with a span of its own", "[traceparent]") {
  std::set<std::string> all;
  for (int seed = 1; seed <= 500; ++seed) {
    wisp::test::Seeded random(seed);
    const EventId trace{random.next(), random.next()};
    const EventId span{random.next(), random.next()};
    for (int attempt = 1; attempt <= 3; ++attempt) {
      const std::string text = traceparent(trace, span, attempt);
      CHECK(parse_traceparent(text).value() == trace);
      all.insert(text);
    }
  }
  CHECK(all.size() == 1'500);
  CHECK(traceparent({}, {1, 1}, 1).empty());
}

TEST_CASE("traceparent: one character changed is another trace, or none", "[traceparent]") {
  const EventId trace = *parse_traceparent(kGood);
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    std::string text = kGood;
    text[static_cast<std::size_t>(random.below(text.size()))] =
        static_cast<char>(random.between(0, 127));
    const auto parsed = parse_traceparent(text);
    if (parsed.ok() && text.substr(3, 32) != std::string(kGood).substr(3, 32))
      CHECK(*parsed != trace);
  }
}
