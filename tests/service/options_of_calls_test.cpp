#include <wisp/service/call_options.hpp>

#include <memory>
#include <string>
#include <string_view>

#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "service/pumped.hpp"

namespace {

using namespace wisp::literals;
using wisp::CallOptions;
using wisp::Status;
using wisp::StatusCode;
using wisp::test::Pumped;
using wisp::test::says;

Status add_twice(Pumped& p, int& ran) {
  const auto twice = [&ran](int n) {
    ++ran;
    return 2 * n;
  };
  return p.runtime.registry().add(wisp::function("twice", twice));
}

// What each verb says of these options, of that function.
template <class Check>
void each_verb(Pumped& p, const CallOptions& options, Check&& check) {
  const auto twice = wisp::named<int(int)>("twice");
  const auto on = p.runtime.on("a").to([](int) {});
  check("call", p.runtime.call(twice, 2, options).status());
  check("call by name", p.runtime.call<int>("twice", 2, options).status());
  check("start", p.runtime.start(twice, 2, options).wait().status());
  check("post", p.runtime.post(twice, 2, options).status());
  check("emit", p.runtime.emit("a", 2, options).status());
  CallOptions keyed = options;
  keyed.idempotency_key = "once";
  check("call once", p.runtime.call(twice, 2, keyed).status());
  check("start once", p.runtime.start(twice, 2, keyed).wait().status());
  keyed.idempotency_key = "posted once";
  check("post once", p.runtime.post(twice, 2, keyed).status());
  check("emit once", p.runtime.emit("a", 2, keyed).status());
}

// Text with more to it.
struct Label {
  int shop = 0;
  std::string text;
  operator std::string_view() const { return text; }
};

}  // namespace

TEST_CASE("call options: what begins with a negative timeout is too late", "[call_options]") {
  int ran = 0;
  Pumped p;
  REQUIRE(add_twice(p, ran).ok());
  each_verb(p, {.timeout = -3ms}, [](std::string_view verb, const Status& status) {
    INFO(verb);
    CHECK(status.code() == StatusCode::kDeadlineExceeded);
    CHECK(says(status, "a timeout of -3 ms was over before it began"));
  });
  p.settled();
  CHECK(ran == 0);
  each_verb(p, {}, [](std::string_view verb, const Status& status) {
    INFO(verb);
    CHECK(status.ok());
  });
  p.settled();
  CHECK(ran == 6);
}

TEST_CASE("call options: names that are too long, and a trace that is none, are refused",
          "[call_options]") {
  int ran = 0;
  Pumped p;
  REQUIRE(add_twice(p, ran).ok());
  const std::string longest(wisp::kTenantNameMax, 't');
  const std::string longer(wisp::kTenantNameMax + 1, 't');
  const auto refused = [&p](const CallOptions& options, std::string_view text) {
    each_verb(p, options, [text](std::string_view verb, const Status& status) {
      INFO(verb);
      CHECK(status.code() == StatusCode::kInvalidArgument);
      CHECK(says(status, text));
    });
  };
  refused({.tenant = longer}, "a tenant has at most 256 bytes, this one has 257");
  refused({.tag = longer}, "a tag has at most 256 bytes, this one has 257");
  refused({.traceparent = "00-no"}, "traceparent");
  p.settled();
  CHECK(ran == 0);
  each_verb(p, {.tenant = longest, .tag = longest},
            [](std::string_view verb, const Status& status) {
              INFO(verb);
              CHECK(status.ok());
            });
  p.settled();
}

TEST_CASE("call options: a function without input takes them by name too", "[call_options]") {
  Pumped p;
  const auto who = [](wisp::Context& context) { return std::string(context.tenant()); };
  REQUIRE(p.runtime.registry().add(wisp::function("who", who)).ok());
  const CallOptions acme{.tenant = "acme"};
  CHECK(p.runtime.call<std::string>("who", acme).value() == "acme");
  CHECK(p.runtime.call<std::string>("who", {.tenant = "acme"}).value() == "acme");
  CHECK(p.runtime.start<std::string>("who", acme).wait().value() == "acme");
  CHECK(p.runtime.start<std::string>("who", {.tenant = "acme"}).wait().value() == "acme");
  CHECK(p.runtime.call<std::string>("who").value().empty());
}

TEST_CASE("call options: an input that is more than text is not taken for text", "[call_options]") {
  Label seen;
  Pumped p;
  const auto keep = [&seen](const Label& label) { seen = label; };
  REQUIRE(p.runtime.registry().add(wisp::function("keep", keep)).ok());
  const auto handle = wisp::named<void(Label)>("keep");
  const Label given{7, "a label that does not fit into a string by itself"};
  REQUIRE(p.runtime.post(handle, given).ok());
  p.settled();
  CHECK(seen.shop == 7);
  CHECK(seen.text == given.text);
  seen = {};
  const auto on = p.runtime.on("labels").to(keep);
  REQUIRE(p.runtime.emit("labels", given).ok());
  p.settled();
  CHECK(seen.shop == 7);
  CHECK(p.runtime.dead_letters().size() == 0);
}

TEST_CASE("call options: what a Pending that nobody keeps had to say is the caller's",
          "[call_options]") {
  const std::string text(100, 'x');
  Pumped p;
  const auto say = [&text] { return text; };
  const auto make = [] { return std::make_unique<int>(5); };
  REQUIRE(p.runtime.registry().add(wisp::function("say", say)).ok());
  REQUIRE(p.runtime.registry().add(wisp::function("make", make)).ok());
  const auto& said = p.runtime.start<std::string>("say").wait();
  const auto& receipt = p.runtime.start<std::string>("say").receipt();
  const auto& late = p.runtime.start<std::string>("say").wait_for(0s);
  const auto& made = p.runtime.start<std::unique_ptr<int>>("make").wait();
  CHECK(said.value() == text);
  CHECK(receipt.function == "say");
  CHECK(late.status().code() == StatusCode::kDeadlineExceeded);
  CHECK(*made.value() == 5);
  p.settled();
}
