#include <wisp/base/payload.hpp>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "seeds.hpp"

using wisp::Payload;
using wisp::type_info;

namespace {
thread_local int allocations = 0;
}

// Counts what this thread allocates. Both forms of a single object, because the address sanitizer's
// own nothrow form would not come here and yet be freed here. Not inlined, or g++ sees malloc
// beside delete and warns of a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

struct Order {
  std::string id;
  double total;
};
WISP_FIELDS(Order, id, total)

struct Counted {
  explicit Counted(int* count) : alive(count) { ++*alive; }
  Counted(const Counted& other) : alive(other.alive) { ++*alive; }
  ~Counted() { --*alive; }
  int* alive;
};

struct Throws {
  Throws() = default;
  Throws(const Throws&) { throw std::runtime_error("no copies"); }
};

struct alignas(128) Aligned {
  int n = 3;
};

}  // namespace

TEST_CASE("payload: holds one value with one allocation", "[payload]") {
  const Order order{"4711", 120};
  allocations = 0;
  const Payload payload = Payload::of(order);
  CHECK(allocations == 1);
  REQUIRE(payload.as<Order>() != nullptr);
  CHECK(payload.as<Order>()->total == 120);
  CHECK(payload.as<Order>()->id == "4711");
  CHECK(payload.data() == payload.as<Order>());
  CHECK(payload.type() == &type_info<Order>());
  CHECK_FALSE(payload.empty());
  allocations = 0;
  const Payload copy = payload;
  const Payload moved = Payload(copy);
  CHECK(moved.as<Order>() == payload.as<Order>());
  CHECK(allocations == 0);
}

TEST_CASE("payload: an empty one holds nothing of any type", "[payload]") {
  const Payload payload;
  CHECK(payload.empty());
  CHECK(payload.type() == nullptr);
  CHECK(payload.data() == nullptr);
  CHECK(payload.as<int>() == nullptr);
  CHECK_FALSE(payload.holds(type_info<int>()));
  CHECK(payload.bytes() == 0);
  const Payload copy = payload;
  CHECK(copy.empty());
}

TEST_CASE("payload: another type gives null, however much alike", "[payload]") {
  const Payload payload = Payload::of(7);
  CHECK(*payload.as<int>() == 7);
  CHECK(payload.as<unsigned>() == nullptr);
  CHECK(payload.as<long>() == nullptr);
  CHECK(payload.as<double>() == nullptr);
  CHECK(payload.as<Order>() == nullptr);
  CHECK(payload.holds(type_info<int>()));
  CHECK_FALSE(payload.holds(type_info<char>()));
}

TEST_CASE("payload: text of any kind becomes a std::string", "[payload]") {
  const std::string text = "some text";
  const char* pointer = text.c_str();
  char array[] = "some text";
  for (const Payload& payload :
       {Payload::of("some text"), Payload::of(text), Payload::of(std::string_view(text)),
        Payload::of(pointer), Payload::of(array), Payload::of(std::string(text))}) {
    REQUIRE(payload.as<std::string>() != nullptr);
    CHECK(*payload.as<std::string>() == text);
    CHECK(payload.type()->wire_name == "string");
  }
  const std::string long_text(1'000, 'x');
  CHECK(Payload::of(long_text).bytes() == sizeof(std::string) + 1'000);
  CHECK(Payload::of(1.5).bytes() == sizeof(double));
}

TEST_CASE("payload: the last of its owners frees the value, once", "[payload]") {
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    int alive = 0;
    {
      std::vector<Payload> owners;
      owners.push_back(Payload::of(Counted(&alive)));
      REQUIRE(alive == 1);
      for (int i = 0; i < 100; ++i) {
        const auto from = static_cast<std::size_t>(random.below(owners.size()));
        const auto to = static_cast<std::size_t>(random.below(owners.size()));
        switch (random.below(4)) {
          case 0:
            owners.push_back(Payload(owners[from]));
            break;
          case 1:
            owners[to] = owners[from];  // itself, perhaps
            break;
          case 2:
            owners.push_back(std::move(owners[from]));
            owners[from] = owners.back();
            break;
          default:
            if (owners.size() > 1) owners.pop_back();
            break;
        }
        REQUIRE(alive == 1);
      }
    }
    CHECK(alive == 0);
  }
}

TEST_CASE("payload: assignment lets go of what was held", "[payload]") {
  int first = 0;
  int second = 0;
  Payload payload = Payload::of(Counted(&first));
  payload = Payload::of(Counted(&second));
  CHECK(first == 0);
  CHECK(second == 1);
  Payload& same = payload;
  payload = same;
  CHECK(second == 1);
  payload = Payload();
  CHECK(second == 0);
}

TEST_CASE("payload: keeps what cannot be copied, and what is over-aligned", "[payload]") {
  const Payload unique = Payload::of(std::make_unique<int>(5));
  REQUIRE(unique.as<std::unique_ptr<int>>() != nullptr);
  CHECK(**unique.as<std::unique_ptr<int>>() == 5);
  const Payload aligned = Payload::of(Aligned());
  CHECK(reinterpret_cast<std::uintptr_t>(aligned.data()) % 128 == 0);
  CHECK(aligned.as<Aligned>()->n == 3);
}

TEST_CASE("payload: a value whose copy throws leaves nothing behind", "[payload]") {
  const Throws value;
  CHECK_THROWS_AS(Payload::of(value), std::runtime_error);
}

TEST_CASE("payload: threads share and release one value", "[payload]") {
  struct Shared {
    std::shared_ptr<std::atomic<int>> sum;
  };
  const auto sum = std::make_shared<std::atomic<int>>(0);
  {
    Payload payload = Payload::of(Shared{sum});
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([mine = payload] {
        for (int i = 0; i < 2'000; ++i) {
          const Payload copy = mine;
          ++*copy.as<Shared>()->sum;
        }
      });
    }
    payload = Payload();
    for (std::thread& each : threads) each.join();
  }
  CHECK(*sum == 8'000);
  CHECK(sum.use_count() == 1);
}
