#include <wisp/base/id.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

#include "catch.hpp"
#include "seeds.hpp"

using wisp::EventId;
using wisp::stable_hash;

// The vectors of the algorithm's authors: whatever is stored under a hash stays findable.
static_assert(stable_hash("") == 0xcbf29ce484222325U);
static_assert(stable_hash("a") == 0xaf63dc4c8601ec8cU);
static_assert(stable_hash("foobar") == 0x85944171f73967e8U);

TEST_CASE("id: a hash never changes, whatever the sign of a char", "[id]") {
  CHECK(stable_hash("chongo was here!\n") == 0x46810940eff5f915U);
  CHECK(stable_hash(std::string_view("\0", 1)) == 0xaf63bd4c8601b7dfU);
  // One step by hand from the offset basis: the byte 0xff is 255, not -1.
  CHECK(stable_hash("\xff") == (0xcbf29ce484222325U ^ 0xffU) * 0x100000001b3U);
}

TEST_CASE("id: prints as 32 hexadecimal digits", "[id]") {
  CHECK(to_string(EventId()) == std::string(32, '0'));
  const EventId id{0x0123456789abcdef, 42};
  CHECK(to_string(id) == "0123456789abcdef000000000000002a");
  CHECK(fmt::format("{}", id) == to_string(id));
  CHECK(fmt::format("{:>34}", id) == "  " + to_string(id));
  CHECK(to_string(EventId{UINT64_MAX, UINT64_MAX}) == std::string(32, 'f'));
}

TEST_CASE("id: only the id of nothing is empty", "[id]") {
  CHECK(EventId().empty());
  CHECK_FALSE(EventId{1, 0}.empty());
  CHECK_FALSE(EventId{0, 1}.empty());
}

TEST_CASE("id: orders by origin, then sequence, as its text does", "[id]") {
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    std::vector<EventId> ids;
    for (int i = 0; i < 50; ++i) ids.push_back({random.below(3), random.any_size()});
    std::sort(ids.begin(), ids.end());
    CHECK(std::is_sorted(ids.begin(), ids.end(),
                         [](EventId a, EventId b) { return to_string(a) < to_string(b); }));
    CHECK((EventId{1, 9} < EventId{2, 0}));
    CHECK((EventId{1, 1} < EventId{1, 2}));
  }
}

TEST_CASE("id: the ids of one runtime hash apart", "[id]") {
  std::unordered_set<std::size_t> hashes;
  for (std::uint64_t i = 0; i < 10'000; ++i)
    hashes.insert(std::hash<EventId>()({0x1234567890abcdef, i}));
  CHECK(hashes.size() == 10'000);
  CHECK(std::hash<EventId>()({3, 4}) == std::hash<EventId>()({3, 4}));
}
