#include "stage.hpp"

#include <atomic>
#include <utility>

#include <fmt/format.h>

#include <wisp/base/park.hpp>
#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::sim {
namespace {

using wisp::detail::ActiveFrame;
using wisp::detail::Attempted;
using wisp::detail::Definition;
using wisp::detail::Route;
using wisp::detail::Turns;

Attempted thrown() { return {internal("the handler threw: a fault of its world's"), true}; }

// As the handler that it stands for in all but how it runs.
struct Staged final : Definition {
  Staged(Stage& its_stage, std::shared_ptr<const Definition> its_handler)
      : Definition(*its_handler), stage(its_stage), handler(std::move(its_handler)) {
    run = &once;
    if (handler->run_each != nullptr) run_each = &each;
  }

  static bool once(const Definition& self, const void* in, void* result, Context* context,
                   Attempted& failed) {
    const auto& staged = static_cast<const Staged&>(self);
    return staged.stage.run(*staged.handler, in, result, context, failed);
  }

  // Keeps the books that Turns asks for.
  static bool each(const Definition& self, const void* in, Turns& turns, Attempted& failed) {
    std::uint64_t begun = turns.progress.begun.load(std::memory_order_relaxed);
    std::uint64_t ended = turns.progress.ended.load(std::memory_order_relaxed);
    while (turns.next != turns.end) {
      turns.progress.route.store(*turns.next, std::memory_order_release);
      std::atomic_signal_fence(std::memory_order_seq_cst);
      if (turns.word.load(std::memory_order_acquire) != turns.expected) return true;
      ++turns.next;
      turns.progress.begun.store(++begun, std::memory_order_release);
      if (!once(self, in, nullptr, nullptr, failed)) return false;
      turns.counted.store(turns.counted.load(std::memory_order_relaxed) + 1,
                          std::memory_order_relaxed);
      turns.progress.ended.store(++ended, std::memory_order_release);
    }
    return true;
  }

  Stage& stage;
  const std::shared_ptr<const Definition> handler;
};

}  // namespace

std::shared_ptr<const Definition> Stage::around(std::shared_ptr<const Definition> handler) {
  return std::make_shared<Staged>(*this, std::move(handler));
}

bool Stage::run(const Definition& handler, const void* in, void* result, Context* context,
                Attempted& failed) {
  scheduler_.record(context == nullptr
                        ? fmt::format("'{}' begins", handler.name)
                        : fmt::format("'{}' begins, attempt {}, event {}", handler.name,
                                      context->attempt(), context->event_id()));
  const Strike strike = scheduler_.strike();
  bool well = strike.nothing() || strike_before(strike, context, failed);
  if (well) {
    well = handler.run(handler, in, result, context, failed);
    elapse(clock_, strike.after);
    if (strike.throws_after) {
      failed = thrown();
      well = false;
    }
    if (strike.throws_after && result != nullptr) handler.fail(result, failed.status);
  } else if (result != nullptr) {
    handler.fail(result, failed.status);
  }
  scheduler_.record(well ? fmt::format("'{}' ends well", handler.name)
                         : fmt::format("'{}' fails: {}", handler.name, message(failed.status)));
  return well;
}

bool Stage::strike_before(const Strike& strike, Context* context, Attempted& failed) {
  if (strike.hangs) {
    // A handler that takes no Context is a frame all the same.
    ActiveFrame& frame = *ActiveFrame::top();
    Status ended = context != nullptr ? context->sleep(strike.hang_max)
                                      : frame.invoker->sleep(frame, strike.hang_max);
    if (!ended.ok()) {
      failed = {std::move(ended), false};
      return false;
    }
  }
  elapse(clock_, strike.before);
  if (strike.throws_before) failed = thrown();
  return !strike.throws_before;
}

}  // namespace wisp::inline v0::sim
