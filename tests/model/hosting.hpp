// A Context without an engine, and one attempt of a function in it.
//
//   Hosted hosted;
//   Ran<int> ran = run(wisp::function("twice", twice), 4, hosted);
//   CHECK(ran.result.value() == 8);
//
// Threads: one-at-a-time.
#pragma once

#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/base/status.hpp>
#include <wisp/model/context.hpp>
#include <wisp/model/event.hpp>
#include <wisp/model/function.hpp>

namespace wisp::test {

// Notes what it is asked for, and answers with what the test says.
class FakeHost final : public detail::ContextHost {
 public:
  bool cancelled(const detail::Frame&) const override { return source.stop_requested(); }
  std::stop_token stop_token(detail::Frame&) override { return source.get_token(); }
  Status sleep(detail::Frame&, Duration d) override {
    slept.push_back(d);
    return sleeps;
  }
  void elapse(Duration d) override { elapsed += d; }
  Duration remaining(const detail::Frame& frame) const override {
    return frame.deadline.remaining(clock);
  }
  void log(const detail::Frame& frame, LogLevel level, std::string_view text) override {
    functions.emplace_back(frame.function);
    lines.emplace_back(level, text);
  }

  ManualClock clock;
  std::stop_source source;
  Status sleeps;
  std::vector<Duration> slept;
  Duration elapsed{};
  std::vector<std::string> functions;
  std::vector<std::pair<LogLevel, std::string>> lines;
};

struct Hosted {
  FakeHost host;
  Lineage lineage;
  detail::Frame frame{.lineage = &lineage};
  Context context{host, frame};
};

template <class R>
struct Ran {
  Result<R> result;
  detail::Attempted attempted;
};

// One attempt, as an engine makes it: the outcome and the assigned result.
template <class R, class In, class Input>
Ran<R> run(const Function<R, In>& function, const Input* in, Hosted& hosted) {
  const detail::Definition& definition = *function.definition();
  Ran<R> ran{Result<R>(Status(StatusCode::kUnknown, "not assigned")), {}};
  ran.attempted = definition.invoke(in, &ran.result, hosted.context);
  return ran;
}

}  // namespace wisp::test
