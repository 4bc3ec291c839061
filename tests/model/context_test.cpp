#include <wisp/model/context.hpp>

#include <string>

#include "catch.hpp"
#include "model/hosting.hpp"

using namespace std::chrono_literals;
using wisp::Duration;
using wisp::EventId;
using wisp::LogLevel;
using wisp::StatusCode;
using wisp::test::Hosted;

TEST_CASE("context: tells what its attempt is", "[context]") {
  Hosted hosted;
  hosted.frame.function = "price";
  hosted.frame.attempt = 3;
  hosted.frame.event = EventId{1, 2};
  hosted.lineage.tenant = "acme";
  hosted.lineage.hops = 4;
  const wisp::Context& context = hosted.context;
  CHECK(context.function() == "price");
  CHECK(context.attempt() == 3);
  CHECK(context.event_id() == EventId{1, 2});
  CHECK(context.tenant() == "acme");
  CHECK(&context.lineage() == &hosted.lineage);
  CHECK(context.lineage().hops == 4);
}

TEST_CASE("context: a call without deadline or event says so", "[context]") {
  Hosted hosted;
  CHECK(hosted.context.deadline().none());
  CHECK(hosted.context.remaining() == Duration::max());
  CHECK(hosted.context.event_id().empty());
  CHECK(hosted.context.attempt() == 1);
  CHECK(hosted.context.tenant().empty());
}

TEST_CASE("context: what remains shrinks to zero, never below", "[context]") {
  Hosted hosted;
  hosted.frame.deadline = wisp::Deadline::after(hosted.host.clock, 2s);
  CHECK(hosted.context.deadline() == hosted.frame.deadline);
  CHECK(hosted.context.remaining() == 2s);
  hosted.host.clock.advance(3s);
  CHECK(hosted.context.remaining() == 0s);
}

TEST_CASE("context: cancellation is seen by flag and by token", "[context]") {
  Hosted hosted;
  const std::stop_token token = hosted.context.stop_token();
  CHECK_FALSE(hosted.context.cancelled());
  CHECK_FALSE(token.stop_requested());
  hosted.host.source.request_stop();
  CHECK(hosted.context.cancelled());
  CHECK(token.stop_requested());
}

TEST_CASE("context: elapse asks its host", "[context]") {
  Hosted hosted;
  hosted.context.elapse(3ms);
  hosted.context.elapse(4ms);
  CHECK(hosted.host.elapsed == 7ms);
}

TEST_CASE("context: sleep asks its host and passes the refusal on", "[context]") {
  Hosted hosted;
  CHECK(hosted.context.sleep(100ms).ok());
  hosted.host.sleeps = wisp::cancelled("stopped");
  CHECK(hosted.context.sleep(1ms).code() == StatusCode::kCancelled);
  CHECK(hosted.host.slept == std::vector<Duration>{100ms, 1ms});
}

TEST_CASE("context: log formats, and names the function and the level", "[context]") {
  Hosted hosted;
  hosted.frame.function = "price";
  hosted.context.log("{} of {}", 3, std::string("seven"));
  hosted.context.log_text(LogLevel::error, "{} stays as it is");
  REQUIRE(hosted.host.lines.size() == 2);
  CHECK(hosted.host.lines[0] == std::pair(LogLevel::info, std::string("3 of seven")));
  CHECK(hosted.host.lines[1] == std::pair(LogLevel::error, std::string("{} stays as it is")));
  CHECK(hosted.host.functions == std::vector<std::string>{"price", "price"});
}
