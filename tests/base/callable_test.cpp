#include <wisp/base/callable.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "seeds.hpp"

using wisp::boxed;
using wisp::InlineFunction;

namespace {

struct Counts {
  int made = 0;
  int destroyed = 0;
  int called = 0;
  int alive() const { return made - destroyed; }
};

// Knows its own address, so that a relocation by memcpy would show.
class Tracked {
 public:
  explicit Tracked(Counts& counts, int value = 0) : self_(this), counts_(&counts), value_(value) {
    ++counts_->made;
  }
  Tracked(Tracked&& other) noexcept : self_(this), counts_(other.counts_), value_(other.value_) {
    ++counts_->made;
  }
  ~Tracked() { ++counts_->destroyed; }
  int operator()(int n) {
    ++counts_->called;
    return self_ == this ? value_ + n : -1;
  }

 private:
  Tracked* self_;
  Counts* counts_;
  int value_;
};

struct ThrowingMove {
  ThrowingMove() = default;
  ThrowingMove(ThrowingMove&& other) noexcept(false) : value(other.value) {}
  int value = 5;
  int operator()() { return value; }
};

int twice(int n) { return 2 * n; }

using Small = InlineFunction<int(int), 32>;

}  // namespace

static_assert(std::is_nothrow_move_constructible_v<Small>);
static_assert(std::is_nothrow_move_assignable_v<Small>);
static_assert(!std::is_copy_constructible_v<Small>);
static_assert(!std::is_constructible_v<Small, std::string>);
static_assert(!std::is_constructible_v<Small, int (*)(std::string)>);

TEST_CASE("callable: an empty one says so, and holds a function, a lambda, an object",
          "[callable]") {
  Small f;
  CHECK_FALSE(f);
  f = twice;
  REQUIRE(f);
  CHECK(f(4) == 8);
  int base = 10;
  f = [&base](int n) { return base += n; };
  CHECK(f(1) == 11);
  CHECK(f(1) == 12);
  Counts counts;
  f = Tracked(counts, 3);
  CHECK(f(4) == 7);
  f.reset();
  CHECK_FALSE(f);
  CHECK(counts.alive() == 0);
  f.reset();
  CHECK(counts.alive() == 0);
}

TEST_CASE("callable: a callable that is moved is destroyed exactly once", "[callable]") {
  Counts counts;
  {
    Small first = Tracked(counts, 1);
    CHECK(counts.alive() == 1);
    Small second = std::move(first);
    CHECK_FALSE(first);  // NOLINT(bugprone-use-after-move): this is what a move leaves
    CHECK(counts.alive() == 1);
    CHECK(second(1) == 2);
    first = std::move(second);
    CHECK(counts.alive() == 1);
    CHECK(first(2) == 3);
  }
  CHECK(counts.alive() == 0);
}

TEST_CASE("callable: assignment destroys what was held, self-assignment nothing", "[callable]") {
  Counts old;
  Counts fresh;
  Small f = Tracked(old, 1);
  f = Small(Tracked(fresh, 2));
  CHECK(old.alive() == 0);
  CHECK(fresh.alive() == 1);
  Small& same = f;
  f = std::move(same);
  CHECK(fresh.alive() == 1);
  CHECK(f(1) == 3);
  f = Small();
  CHECK_FALSE(f);
  CHECK(fresh.alive() == 0);
}

TEST_CASE("callable: trivial and other callables survive any number of relocations", "[callable]") {
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    Counts counts;
    {
      std::vector<Small> list;
      std::vector<int> values;
      for (int i = 0; i < 40; ++i) {
        const int value = static_cast<int>(random.below(1'000));
        if (random.below(2) == 0) list.emplace_back(Tracked(counts, value));
        else list.emplace_back([value](int n) { return value + n; });
        values.push_back(value);
        const auto a = static_cast<std::size_t>(random.below(list.size()));
        const auto b = static_cast<std::size_t>(random.below(list.size()));
        std::swap(list[a], list[b]);
        std::swap(values[a], values[b]);
      }
      for (std::size_t i = 0; i < list.size(); ++i) CHECK(list[i](1) == values[i] + 1);
    }
    CHECK(counts.alive() == 0);
  }
}

TEST_CASE("callable: arguments pass by reference, by value and by move", "[callable]") {
  InlineFunction<void(int&), 8> increment = [](int& n) { ++n; };
  int n = 1;
  increment(n);
  CHECK(n == 2);
  InlineFunction<std::unique_ptr<int>(std::unique_ptr<int>), 8> pass = [](std::unique_ptr<int> p) {
    return p;
  };
  const auto passed = pass(std::make_unique<int>(6));
  CHECK(*passed == 6);
  InlineFunction<const std::string&(const std::string&), 8> same =
      [](const std::string& text) -> const std::string& { return text; };
  const std::string text = "here";
  CHECK(&same(text) == &text);
}

TEST_CASE("callable: a result that nobody wants is dropped", "[callable]") {
  int runs = 0;
  InlineFunction<void(int), 16> f = [&runs](int n) { return runs += n; };
  f(3);
  CHECK(runs == 3);
  InlineFunction<double(int), 16> widened = [](int value) { return value; };
  CHECK(widened(2) == 2.0);
}

TEST_CASE("callable: a box holds what is too large, over-aligned or throws when moved",
          "[callable]") {
  std::array<int, 100> big{};
  big[99] = 4;
  Small f = boxed([big](int n) { return big[99] + n; });
  CHECK(f(1) == 5);
  Small moved = std::move(f);
  CHECK(moved(2) == 6);

  struct alignas(64) Aligned {
    int operator()(int n) const {
      return reinterpret_cast<std::uintptr_t>(this) % 64 == 0 ? n : -1;
    }
  };
  moved = boxed(Aligned());
  CHECK(moved(9) == 9);

  InlineFunction<int(), 8> throwing = boxed(ThrowingMove());
  CHECK(throwing() == 5);

  Counts counts;
  {
    Small held = boxed(Tracked(counts, 1));
    Small other = std::move(held);
    CHECK(other(1) == 2);
    CHECK(counts.alive() == 1);
  }
  CHECK(counts.alive() == 0);
}

TEST_CASE("callable: one that ends itself while destroyed is not destroyed again", "[callable]") {
  // What a callable owns may point back to the function that holds it.
  struct Reset {
    InlineFunction<void(), 16>* owner;
    int* destroyed;
    ~Reset() {
      ++*destroyed;
      owner->reset();
    }
  };
  int destroyed = 0;
  InlineFunction<void(), 16> f;
  f = [held = std::unique_ptr<Reset>(new Reset{&f, &destroyed})] { (void)held; };
  CHECK(destroyed == 0);
  f.reset();
  CHECK(destroyed == 1);
}
