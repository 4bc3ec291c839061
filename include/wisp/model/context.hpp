// What a handler may know and do beside its input: its deadline, whether it is still wanted, a log,
// a way to wait.
//
//   WISP_FUNCTION(crawl, .timeout = 5s) =
//       [](const Site& site, wisp::Context& context) -> wisp::Status {
//     while (!context.cancelled()) { ... WISP_TRY(context.sleep(100ms)); }
//     return wisp::cancelled("stopped at {}", site.url);
//   };
//
// A Context lives as long as the attempt that it was given to. Cancellation is cooperative: a
// handler that never looks is never stopped.
//
// Threads: one-at-a-time, the thread that runs the handler; the stop token alone may go elsewhere.
#pragma once

#include <fmt/core.h>

#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include <wisp/base/clock.hpp>
#include <wisp/base/id.hpp>
#include <wisp/base/status.hpp>
#include <wisp/model/event.hpp>
#include <wisp/model/traceparent.hpp>

namespace wisp::inline v0 {

class Runtime;

enum class LogLevel : std::uint8_t { debug, info, warning, error };

struct LogRecord {
  LogLevel level;
  std::string_view function;  // "" for wisp's own
  EventId event;
  std::string_view text;
};

// Where log lines go. Called on the thread that logs, with no wisp lock held; must not throw.
using LogSink = std::function<void(const LogRecord&)>;

namespace detail {

// One attempt in progress, as its handler sees it. On the stack of the thread that runs it.
struct Frame {
  Runtime* runtime = nullptr;
  std::string_view function;
  Deadline deadline;
  int attempt = 1;
  EventId event;                     // that is being handled, or empty for a call
  const Lineage* lineage = nullptr;  // never null within a handler
};

// What a Context asks the engine for.
class ContextHost {
 public:
  virtual bool cancelled(const Frame& frame) const = 0;
  virtual std::stop_token stop_token(Frame& frame) = 0;
  virtual Status sleep(Frame& frame, Duration d) = 0;
  virtual void elapse(Duration d) = 0;
  virtual Duration remaining(const Frame& frame) const = 0;
  virtual void log(const Frame& frame, LogLevel level, std::string_view text) = 0;

 protected:
  ~ContextHost() = default;
};

}  // namespace detail

class Context {
 public:
  Context(detail::ContextHost& host, detail::Frame& frame) : host_(host), frame_(frame) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // The Runtime that runs this handler: emit, start and the rest. Not the host's object, but one of
  // the same runtime that lasts as long as the handler, even if stop() leaves that behind.
  Runtime& runtime() const { return *frame_.runtime; }

  std::string_view function() const { return frame_.function; }

  // 1 for the first attempt.
  int attempt() const { return frame_.attempt; }

  // The event or post that is being handled, also in what its handler calls; empty elsewhere.
  EventId event_id() const { return frame_.event; }
  const Lineage& lineage() const { return *frame_.lineage; }
  std::string_view tenant() const { return frame_.lineage->tenant; }

  // The header by which a request that the handler makes belongs to the same trace; see
  // traceparent.hpp. "" for a call that belongs to none: one from outside that was given none.
  std::string traceparent() const {
    return wisp::traceparent(frame_.lineage->trace, frame_.event, frame_.attempt);
  }

  // The smaller of the function's timeout and what the caller had left.
  Deadline deadline() const { return frame_.deadline; }

  // Until the deadline, never negative; Duration::max() without one.
  Duration remaining() const { return host_.remaining(frame_); }

  // True once the caller cancelled, the deadline passed, or the runtime gave up waiting in stop().
  bool cancelled() const { return host_.cancelled(frame_); }

  // The same as a token, for APIs that take one. Costs an allocation at first use.
  std::stop_token stop_token() { return host_.stop_token(frame_); }

  // Waits. kCancelled or kDeadlineExceeded as soon as either comes true, else ok after `d`.
  Status sleep(Duration d) { return host_.sleep(frame_, d); }

  // Stands for work that takes `d`, all of it, whether cancelled or not. In a simulated world the
  // others go on meanwhile, as on cores of their own, and meters read exactly `d`; on the machine's
  // clock this keeps the processor busy. Not for waiting: see sleep().
  void elapse(Duration d) { host_.elapse(d); }

  template <class... Args>
  void log(fmt::format_string<Args...> format, Args&&... arguments) {
    log_text(LogLevel::info, fmt::vformat(format, fmt::make_format_args(arguments...)));
  }
  void log_text(LogLevel level, std::string_view text) { host_.log(frame_, level, text); }

 private:
  detail::ContextHost& host_;
  detail::Frame& frame_;
};

}  // namespace wisp::inline v0
