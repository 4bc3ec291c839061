// The core in a program without exceptions and run-time types: every verb, and what each refuses.
//
// Plain checks: Catch2 throws. Says which check failed and returns 1, or says nothing and returns
// 0.
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <wisp/wisp.hpp>

#if WISP_EXCEPTIONS || defined(__cpp_rtti)
#error "compile this program with -fno-exceptions -fno-rtti"
#endif

using namespace wisp::literals;
using wisp::Status;
using wisp::StatusCode;

namespace {

int failures = 0;

void check(bool good, const char* what, int line) {
  if (good) return;
  ++failures;
  std::fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, line, what);
}
#define CHECK(...) check((__VA_ARGS__), #__VA_ARGS__, __LINE__)

// That `status` refuses with this code and says `part`.
void check_refused(const Status& status, StatusCode code, std::string_view part, int line) {
  if (status.code() == code && wisp::message(status).find(part) != std::string_view::npos) return;
  ++failures;
  std::fprintf(stderr, "%s:%d: expected code %d with '%.*s', got '%s'\n", __FILE__, line,
               static_cast<int>(code), static_cast<int>(part.size()), part.data(),
               wisp::to_string(status).c_str());
}
#define CHECK_REFUSED(status, code, part) check_refused(status, StatusCode::code, part, __LINE__)

struct Parcel {
  double kg;
  std::string country;
};
WISP_FIELDS(Parcel, kg, country)

WISP_FUNCTION(price_parcel, .timeout = 5s, .retry = {.attempts = 3}) =
    [](const Parcel& parcel, wisp::Context& context) -> wisp::Result<wisp::Money> {
  if (parcel.kg <= 0)
    return wisp::invalid_argument("a parcel weighs something, got {} kg", parcel.kg);
  if (parcel.kg > 1'000 && context.attempt() < 3) return wisp::unavailable("the scale is busy");
  return wisp::Money::cents(490);
};

WISP_FUNCTION(greet) = [](const std::string& name) { return "hello, " + name; };

WISP_FUNCTION(boxed) = [](int n) { return std::make_unique<int>(n); };

WISP_FUNCTION(nothing) = [] {};

const auto by_name = wisp::named<wisp::Money(Parcel)>("price_parcel");

// A Runtime whose thread is this one and whose time stands still until told.
struct Pumped {
  wisp::ManualClock clock;
  wisp::SeededRandom random{1};
  wisp::Runtime runtime{wisp::linked_functions(),
                        {.threads = wisp::Threads::none,
                         .tariff = wisp::tariffs::aws_lambda_x86(),
                         .clock = &clock,
                         .random = &random}};

  void settle() {
    for (int i = 0; i < 1'000; ++i) {
      const wisp::Pumped pumped = runtime.pump();
      if (pumped.ran == 0 && runtime.stats().queued == 0) return;
      clock.advance(100ms);
    }
    const bool at_rest = false;
    CHECK(at_rest);
  }
};

void test_values() {
  const wisp::Filter filter = wisp::field("kg").at_least(1) && !wisp::field("country").equals("FR");
  const Parcel parcel{2, "PT"};
  const auto bound = filter.bind(wisp::type_info<Parcel>());
  CHECK(bound.ok() && bound->matches(&parcel));
  CHECK_REFUSED(wisp::field("kilos").at_least(1).bind(wisp::type_info<Parcel>()).status(),
                kInvalidArgument, "'kilos'");
  CHECK_REFUSED(wisp::TopicPattern::parse("a.>.b").status(), kInvalidArgument, "'a.>.b'");
  const wisp::Payload payload = wisp::Payload::of(parcel);
  CHECK(payload.as<Parcel>() != nullptr && payload.as<int>() == nullptr);
}

void test_call() {
  Pumped p;
  CHECK(p.runtime.status().ok());
  CHECK(p.runtime.expect({"price_parcel", "greet"}).ok());
  CHECK_REFUSED(p.runtime.expect({"absent"}), kNotFound, "absent");
  CHECK(p.runtime.call(price_parcel, {2.5, "PT"}).value() == wisp::Money::cents(490));
  CHECK(p.runtime.call(by_name, {2.5, "PT"}).ok());
  CHECK(p.runtime.call<std::string>("greet", "world").value() == "hello, world");
  CHECK(p.runtime.call(nothing).ok());
  const auto moved = p.runtime.call(boxed, 7);
  CHECK(moved.ok() && **moved == 7);
  CHECK_REFUSED(p.runtime.call(price_parcel, {-1, "PT"}).status(), kInvalidArgument, "-1 kg");
  CHECK_REFUSED(p.runtime.call<int>("greet", "world").status(), kInvalidArgument, "string");
  CHECK_REFUSED(p.runtime.call<int>("greet", 3).status(), kInvalidArgument, "int32");
  CHECK_REFUSED(p.runtime.call<int>("absent", 3).status(), kNotFound, "absent");
}

void test_start() {
  Pumped p;
  auto pending = p.runtime.start(greet, "pool");
  CHECK(!pending.ready());
  p.settle();
  CHECK(pending.ready());
  CHECK(pending.wait().value() == "hello, pool");
  auto heavy = p.runtime.start(price_parcel, {2'000, "PT"});
  p.settle();
  CHECK(heavy.wait().ok());
  CHECK(heavy.receipt().attempts == 3);
  auto absent = p.runtime.start<int>("absent");
  CHECK_REFUSED(absent.wait().status(), kNotFound, "absent");
}

void test_pool() {
  wisp::Runtime runtime{wisp::linked_functions()};
  std::vector<wisp::Pending<std::string>> pending;
  for (int i = 0; i < 100; ++i) pending.push_back(runtime.start(greet, std::to_string(i)));
  for (int i = 0; i < 100; ++i) {
    const wisp::Result<std::string>& each = pending[static_cast<std::size_t>(i)].wait();
    CHECK(each.ok() && *each == "hello, " + std::to_string(i));
  }
  CHECK(runtime.stop(5s).status.ok());
}

void test_events() {
  Pumped p;
  int paid = 0;
  auto subscription = p.runtime.on("orders.*.paid")
                          .where(wisp::field("kg").at_least(1))
                          .deliver({.attempts = 2})
                          .to([&paid](const Parcel&) -> Status {
                            return ++paid == 1 ? wisp::unavailable("once more") : Status();
                          });
  CHECK(subscription.status().ok());
  CHECK(p.runtime.emit("orders.1.paid", Parcel{2, "PT"}).ok());
  CHECK(p.runtime.emit("orders.1.paid", Parcel{0, "PT"}).ok());
  CHECK(p.runtime.emit("orders.1.sent", Parcel{2, "PT"}).ok());
  CHECK(p.runtime.post(price_parcel, {3, "ES"}, {.tenant = "acme"}).ok());
  p.settle();
  CHECK(paid == 2);
  const wisp::EventStats events = p.runtime.stats().events;
  CHECK(events.accepted == 2 && events.done == 2 && events.unmatched == 2);
  CHECK_REFUSED(p.runtime.emit("orders..paid", 1).status(), kInvalidArgument, "orders..paid");
  auto bad = p.runtime.on("orders.>.paid").to([](const Parcel&) {});
  CHECK_REFUSED(bad.status(), kInvalidArgument, "orders.>.paid");
  auto typo = p.runtime.on("a").where(wisp::field("kilos").at_least(1)).to([](const Parcel&) {});
  CHECK_REFUSED(typo.status(), kInvalidArgument, "kilos");
}

void test_time_and_bill() {
  Pumped p;
  int ticks = 0;
  {
    auto schedule = p.runtime.every(1s).run([&ticks] { ++ticks; });
    CHECK(schedule.status().ok());
    for (int i = 0; i < 3; ++i) {
      p.clock.advance(1s);
      p.runtime.pump();
      p.runtime.pump();
    }
    CHECK(ticks == 3);
  }
  p.clock.advance(5s);
  p.runtime.pump();
  CHECK(ticks == 3);
  CHECK(!p.runtime.every(-1s).run([] {}).status().ok());
  for (int i = 0; i < 5; ++i) CHECK(p.runtime.call(greet, "bill").ok());
  const wisp::Bill bill = p.runtime.bill(1h);
  std::int64_t calls = 0;
  for (const wisp::BillLine& line : bill.lines) {
    if (line.function == "greet") calls += line.calls;
  }
  CHECK(calls == 5);
  CHECK(p.runtime.bill(1h, wisp::tariffs::google_cloud_run()).total >= wisp::Money());
}

void test_stop() {
  Pumped p;
  CHECK(p.runtime.stop(1s).status.ok());
  const Status called = p.runtime.call(nothing);
  CHECK(wisp::reason_of(called) == wisp::Reason::stopped);
  CHECK(wisp::reason_of(p.runtime.start(nothing).wait()) == wisp::Reason::stopped);
  CHECK(wisp::reason_of(p.runtime.emit("a", 1).status()) == wisp::Reason::stopped);
  CHECK(wisp::reason_of(p.runtime.post(nothing).status()) == wisp::Reason::stopped);
}

void test_born_stopped() {
  wisp::Catalogue twice = wisp::linked_functions();
  twice.add(wisp::function("greet", [] {}));
  const wisp::Runtime runtime{twice};
  CHECK_REFUSED(runtime.status(), kAlreadyExists, "main.cpp");
  wisp::Runtime added;
  CHECK_REFUSED(added.registry().add(wisp::function("Greet", [] {})), kInvalidArgument, "Greet");
  CHECK_REFUSED(added.registry().add(wisp::function("f", [] {}, {.timeout = -1s})),
                kInvalidArgument, "timeout");
  CHECK(added.registry().add(wisp::function("f", [](int n) { return n + 1; })).ok());
  CHECK(added.call<int>("f", 1).value() == 2);
}

}  // namespace

int main() {
  test_values();
  test_call();
  test_start();
  test_pool();
  test_events();
  test_time_and_bill();
  test_stop();
  test_born_stopped();
  if (failures != 0) std::fprintf(stderr, "%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}
