// Lineage, reserved shares and the budget of retries on threads of the machine: what the simulated
// worlds of tests/promises cannot see is a value that two threads read and write at once.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <wisp/model/traceparent.hpp>
#include <wisp/wisp.hpp>

#include "catch.hpp"
#include "engine/waiting.hpp"
#include "service/pumped.hpp"

namespace {

using namespace wisp::literals;
using wisp::Context;
using wisp::EventId;
using wisp::Lineage;
using wisp::Reason;
using wisp::Status;
using wisp::detail::RetryBudget;
using wisp::test::check_conserved;
using wisp::test::eventually;
using wisp::test::Gate;

constexpr int kThreads = 4;

// Runs `body(t)` for t from 0 on, each on a thread of its own, to the end.
void on_threads(int count, const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  for (int t = 0; t < count; ++t) threads.emplace_back(body, t);
  for (std::thread& each : threads) each.join();
}

// Who sends from thread `t`. The first says nothing about itself, which takes other ways through
// the runtime.
struct Sender {
  explicit Sender(int t, std::uint64_t round = 0)
      : name(t == 0 ? "" : "t" + std::to_string(t)),
        trace(t == 0 ? EventId() : EventId{static_cast<std::uint64_t>(t), round + 1}),
        header(wisp::traceparent(trace, {1, 1}, 1)) {}
  wisp::CallOptions options() const { return {.tenant = name, .tag = name, .traceparent = header}; }
  bool sent(const Lineage& lineage) const { return lineage.tenant == name && lineage.tag == name; }

  std::string name;
  EventId trace;
  std::string header;
};

enum class How { call, start, post, queued, here };
constexpr std::array kHows{How::call, How::start, How::post, How::queued, How::here};

// A step of a tree, with what it is to find in its context.
struct TreeStep {
  int thread = 0;
  int depth = 0;
  How how = How::call;
  EventId event;  // of a call
  EventId cause;
  EventId trace;  // empty: its own event
  int hops = 0;
};

// Each step makes one by each verb, a few levels deep.
class Tree {
 public:
  static constexpr int kDepth = 3;
  static constexpr int kSteps = 5 * (1 + 5 + 25 + 125);

  static void make(wisp::Runtime& runtime, TreeStep step, How how,
                   const wisp::CallOptions& options = wisp::kNoOptions) {
    static const auto grow = wisp::named<void(TreeStep)>("grow");
    step.how = how;
    if (how == How::call) (void)runtime.call(grow, step, options);
    if (how == How::start) (void)runtime.start(grow, step, options);
    if (how == How::post) (void)runtime.post(grow, step, options);
    if (how == How::queued) (void)runtime.emit("tree.queued", step, options);
    if (how == How::here) (void)runtime.emit("tree.here", step, options);
  }

  Status grow(const TreeStep& step, Context& context) {
    check(step, context);
    // The next attempt is perhaps another thread's.
    if (step.depth == 1 && step.how != How::here && context.attempt() == 1)
      return wisp::unavailable("not at once");
    const EventId by = context.event_id().empty() ? step.cause : context.event_id();
    TreeStep child{.thread = step.thread,
                   .depth = step.depth + 1,
                   .event = context.event_id(),
                   .trace = context.lineage().trace};
    for (const How how : kHows) {
      if (step.depth == kDepth) break;
      const bool emitted = how == How::queued || how == How::here;
      child.cause = how == How::call ? step.cause : by;
      child.hops = step.hops + (emitted && !by.empty() ? 1 : 0);
      make(context.runtime(), child, how);
    }
    // Nor has what it called left its own behind.
    check(step, context);
    ++ran;
    return Status();
  }

  std::atomic<int> ran{0};
  std::atomic<int> wrong{0};

 private:
  void check(const TreeStep& step, const Context& context) {
    const Lineage& lineage = context.lineage();
    const EventId event = context.event_id();
    const bool plain = step.how == How::call || step.how == How::start;
    const EventId expected = step.how == How::call ? step.event : EventId();
    const EventId trace = step.trace.empty() && !plain ? event : step.trace;
    bool good = Sender(step.thread).sent(lineage);
    good = good && (plain ? event == expected : !event.empty() && event != lineage.cause);
    good = good && lineage.cause == step.cause && lineage.hops == step.hops;
    good = good && lineage.trace == trace;
    good = good && context.traceparent() == wisp::traceparent(trace, event, context.attempt());
    if (!good) ++wrong;
  }
};

// An event of a loop.
struct Hop {
  int thread = 0;
  int loop = 0;
  int number = 0;
};

// How many are inside, and the most there ever were.
class Inside {
 public:
  void enter() {
    const int inside = ++now_;
    int most = most_;
    while (inside > most && !most_.compare_exchange_weak(most, inside)) {
    }
  }
  void leave() { --now_; }
  int most() const { return most_; }

 private:
  std::atomic<int> now_{0};
  std::atomic<int> most_{0};
};

// A function that fails, and how often it was tried.
struct Down {
  std::atomic<std::uint64_t> first{0}, again{0};
  std::atomic<std::uint64_t> called_again{0};  // of those
  Status run(bool called, Context& context) {
    ++(context.attempt() == 1 ? first : again);
    if (called && context.attempt() > 1) ++called_again;
    return wisp::unavailable("down");
  }
  wisp::Function<void, bool> function =
      wisp::function("down", [this](bool called, Context& context) { return run(called, context); },
                     {.retry = {.attempts = 2, .first_delay = 0ms}});
  wisp::Runtime runtime{wisp::Catalogue().add(function), {.workers = {.max = 4}}};
  const std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();

  wisp::FunctionStats stats() {
    for (const wisp::FunctionStats& each : runtime.stats().functions)
      if (each.name == "down") return each;
    return {};
  }
  // What the budget has had until now.
  std::uint64_t most() const {
    const auto ran = (std::chrono::steady_clock::now() - began) / RetryBudget::kEach + 1;
    const auto bucket = RetryBudget::kWindow / RetryBudget::kEach + ran;
    return static_cast<std::uint64_t>(bucket) + first / RetryBudget::kCallsPerRetry;
  }
};

// More than a minute's worth, with a fifth on top.
constexpr int kFailing = 400;  // of each thread

}  // namespace

TEST_CASE("lineage: each thread's own, through every verb within every other", "[lineage]") {
  constexpr int kRounds = 2;
  Tree tree;
  const auto grow = wisp::function(
      "grow", [&tree](const TreeStep& step, Context& context) { return tree.grow(step, context); },
      {.retry = {.attempts = 2, .first_delay = 0ms}});
  wisp::Runtime runtime{wisp::Catalogue().add(grow), {.workers = {.max = 4}}};
  const auto queued = runtime.on("tree.queued").to(grow);
  const auto here = runtime.on("tree.here").deliver({.synchronous = true}).to(grow);
  on_threads(kThreads, [&runtime](int t) {
    for (std::uint64_t round = 0; round < kRounds; ++round) {
      const Sender sender(t, round);
      const TreeStep root{.thread = t, .trace = sender.trace};
      for (const How how : kHows) {
        if (t == 0) Tree::make(runtime, root, how);
        else Tree::make(runtime, root, how, sender.options());
      }
    }
  });
  CHECK(eventually([&tree] { return tree.ran >= kThreads * kRounds * Tree::kSteps; }));
  CHECK(runtime.stop(20s).status.ok());
  CHECK(tree.ran == kThreads * kRounds * Tree::kSteps);
  CHECK(tree.wrong == 0);
  check_conserved(runtime.stats().events);
  CHECK(runtime.dead_letters().size() == 0);
}

TEST_CASE("lineage: each of many loops of events ends after sixteen hops in one dead letter",
          "[lineage]") {
  constexpr int kLoops = 20;  // of each thread
  std::atomic<int> ran{0}, refused{0}, wrong{0};
  const auto emit = [&](const Hop& hop, Context& context) {
    Hop next = hop;
    const char* const topic = ++next.number % 2 == 0 ? "ping" : "pong";
    const Status emitted = context.runtime().emit(topic, next).status();
    if (emitted.ok()) return;
    if (wisp::reason_of(emitted) != Reason::hops) ++wrong;
    ++refused;
  };
  const auto relay = wisp::function("relay", emit);
  const auto handle = [&](const Hop& hop, Context& context) {
    ++ran;
    const Lineage& lineage = context.lineage();
    if (lineage.hops != hop.number || !Sender(hop.thread).sent(lineage)) ++wrong;
    const int way = (hop.number + hop.loop) % 4;
    if (way == 0) emit(hop, context);
    if (way == 1) (void)context.runtime().call(relay, hop);
    if (way == 2) (void)context.runtime().start(relay, hop);
    if (way == 3) (void)context.runtime().post(relay, hop);
  };
  wisp::Runtime runtime{wisp::Catalogue().add(relay), {.workers = {.max = 4}}};
  const auto ping = runtime.on("ping").to(handle);
  const auto pong = runtime.on("pong").deliver({.synchronous = true}).to(handle);
  on_threads(kThreads, [&](int t) {
    const Sender sender(t);
    for (int loop = 0; loop < kLoops; ++loop)
      if (!runtime.emit("ping", Hop{.thread = t, .loop = loop}, sender.options()).ok()) ++wrong;
  });
  CHECK(eventually([&] { return refused >= kThreads * kLoops; }));
  CHECK(runtime.stop(20s).status.ok());
  CHECK(refused == kThreads * kLoops);
  CHECK(ran == kThreads * kLoops * (1 + wisp::kHopsMax));
  CHECK(wrong == 0);
  std::set<std::pair<int, int>> loops;
  const auto letters = runtime.dead_letters().list();
  CHECK(letters.size() == kThreads * kLoops);
  for (const wisp::DeadLetter& letter : letters) {
    const Hop* const hop = letter.event->as<Hop>();
    REQUIRE(hop != nullptr);
    CHECK(loops.emplace(hop->thread, hop->loop).second);
    CHECK(letter.event->lineage.hops == wisp::kHopsMax + 1);
    CHECK(Sender(hop->thread).sent(letter.event->lineage));
    CHECK(wisp::reason_of(letter.error) == Reason::hops);
  }
  check_conserved(runtime.stats().events);
}

TEST_CASE("reserved: on threads, nobody has more than a share, and who has one always finds it",
          "[reserved]") {
  constexpr int kRounds = 300;
  constexpr int kKept = 3, kPosted = 2, kShared = 3, kNarrow = 2;
  Inside in_kept, in_posted, in_narrow, in_shared;
  const auto visit = [](Inside& inside, int wanted = 0) {
    inside.enter();
    for (int i = 0; i < 3; ++i) std::this_thread::yield();
    // Until the bound has been tried once, however busy the machine is.
    (void)eventually([&] { return inside.most() >= wanted; });
    inside.leave();
  };
  const auto kept =
      wisp::function("kept", [&] { visit(in_kept); }, {.limits = {.reserved = kKept}});
  const auto posted =
      wisp::function("posted", [&](int) { visit(in_posted); }, {.limits = {.reserved = kPosted}});
  const auto visit_narrow = [&](int) {
    in_shared.enter();
    visit(in_narrow);
    in_shared.leave();
  };
  const auto narrow = wisp::function("narrow", visit_narrow, {.limits = {.concurrency = kNarrow}});
  const auto open = wisp::function("open", [&](int) { visit(in_shared, kShared); });
  wisp::Runtime runtime{wisp::Catalogue().add(kept).add(posted).add(narrow).add(open),
                        {.workers = {.max = kKept + kPosted + kShared}}};
  const auto on = runtime.on("x").to([&](int) { visit(in_shared, kShared); });
  std::atomic<int> turned_away{0}, wrong{0};
  const auto allowed = [&wrong](const Status& status) {
    if (!status.ok() && wisp::reason_of(status) != Reason::limit) ++wrong;
  };
  on_threads(kKept + kThreads, [&](int t) {
    for (int i = 0; i < kRounds; ++i) {
      if (t < kKept) {
        const Status status = i % 2 == 0 ? runtime.call(kept) : runtime.start(kept).wait();
        if (!status.ok()) ++turned_away;
        continue;
      }
      allowed(runtime.call(i % 2 == 0 ? open : narrow, i));
      allowed(runtime.start(i % 2 == 0 ? narrow : open, i).wait());
      if (!runtime.post(posted, i).ok() || !runtime.post(i % 2 == 0 ? open : narrow, i).ok() ||
          !runtime.emit("x", i).ok())
        ++wrong;
    }
  });
  CHECK(runtime.stop(20s).status.ok());
  CHECK(turned_away == 0);
  CHECK(wrong == 0);
  CHECK(in_kept.most() <= kKept);
  CHECK(in_posted.most() <= kPosted);
  CHECK(in_narrow.most() <= kNarrow);
  CHECK(in_shared.most() == kShared);
  const wisp::EventStats events = runtime.stats().events;
  check_conserved(events);
  CHECK(events.done == 3 * kRounds * kThreads);
}

TEST_CASE("reserved: a share is free though the others hold all that is theirs, and wait for more",
          "[reserved]") {
  constexpr int kKept = 3, kShared = 2;
  Gate others, reserved;
  const auto kept =
      wisp::function("kept", [&] { reserved.pass(); }, {.limits = {.reserved = kKept}});
  const auto open = wisp::function("open", [&](int) { others.pass(); });
  wisp::Runtime runtime{wisp::Catalogue().add(kept).add(open),
                        {.workers = {.max = kKept + kShared}}};
  on_threads(kThreads, [&](int) {
    for (int i = 0; i < 50; ++i) (void)runtime.post(open, i);
  });
  others.await(kShared);
  CHECK(wisp::reason_of(runtime.start(open, 0).wait_for(0s)) == Reason::limit);
  std::vector<wisp::Pending<void>> pending;
  for (int i = 0; i < kKept; ++i) pending.push_back(runtime.start(kept));
  CHECK(eventually([&] { return runtime.stats().workers.running == kKept + kShared; }));
  CHECK(wisp::reason_of(runtime.start(kept).wait_for(0s)) == Reason::limit);
  reserved.open();
  for (auto& each : pending) CHECK(each.wait().ok());
  others.open();
  CHECK(runtime.stop(20s).status.ok());
  CHECK(runtime.stats().events.done == 50 * kThreads);
}

TEST_CASE("retry budget: calls of many threads together get no more than it says",
          "[retry_budget]") {
  Down down;
  std::atomic<int> wrong{0};
  on_threads(kThreads, [&](int) {
    for (int i = 0; i < kFailing; ++i) {
      const Status status = i % 2 == 0 ? down.runtime.call(down.function, true)
                                       : down.runtime.start(down.function, true).wait();
      if (wisp::message(status) != "down") ++wrong;
    }
  });
  CHECK(wrong == 0);
  CHECK(down.first == kThreads * kFailing);
  CHECK(down.again <= down.most());
  CHECK(down.again >= 600);
  // Each failure was followed by a retry, or by one that was withheld.
  const wisp::FunctionStats stats = down.stats();
  CHECK(stats.retries == down.again);
  CHECK(stats.retries + stats.retries_withheld == down.first);
}

TEST_CASE("retry budget: deliveries of many threads wait for it, beside calls that give up",
          "[retry_budget]") {
  Down down;
  const auto on = down.runtime.on("down").to(down.function);
  std::atomic<int> wrong{0};
  on_threads(kThreads, [&](int) {
    for (int i = 0; i < kFailing; ++i) {
      const auto accepted =
          i % 2 == 0 ? down.runtime.post(down.function, false) : down.runtime.emit("down", false);
      if (!accepted.ok()) ++wrong;
      if (i % 4 != 0) continue;
      if (wisp::message(down.runtime.call(down.function, true)) != "down") ++wrong;
    }
  });
  constexpr std::uint64_t kDeliveries = kThreads * kFailing;
  constexpr std::uint64_t kCalls = kDeliveries / 4;
  CHECK(wrong == 0);
  // A delivery's retry is counted when it is put off.
  CHECK(eventually([&] { return down.first == kDeliveries + kCalls; }));
  CHECK(eventually([&] { return down.stats().retries == kDeliveries + down.called_again; }));
  const wisp::FunctionStats stats = down.stats();
  const std::uint64_t again = down.again;
  const std::uint64_t most = down.most();
  CHECK(again <= most);
  CHECK(stats.retries_withheld <= down.first - 600);
  CHECK(stats.retries_withheld >= down.first - most);
  (void)down.runtime.stop(0s);
  const wisp::EventStats events = down.runtime.stats().events;
  CHECK(events.accepted == kDeliveries);
  CHECK(events.done == 0);
  check_conserved(events);
}
