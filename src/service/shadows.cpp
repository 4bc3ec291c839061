// Attempts that are run once more, on a version that is to prove itself.
#include <utility>

#include <fmt/format.h>

#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {
namespace {

// Of the attempt that it follows.
struct Original {
  Outcome outcome;
  int version;
  bool known = false;                   // what came back:
  StatusCode code = StatusCode::kOk;    // its error, or
  std::shared_ptr<const void> value{};  // its value
};

// Whether what came back on the shadow is the same.
bool same(const Definition& definition, const Original& original, const void* result,
          Outcome outcome) {
  if ((outcome == Outcome::ok) != (original.outcome == Outcome::ok)) return false;
  if (!original.known) return true;
  if (outcome != Outcome::ok) return definition.results->status(result).code() == original.code;
  Attempted failed;
  bool equal = false;
  const bool well = guarded(failed, [&] {
    equal = definition.results->equal(result, original.value.get());
    return true;
  });
  return well && equal;
}

// Of one that its deadline or a cancellation ended there is nothing to learn.
bool comparable(Outcome outcome) {
  return outcome == Outcome::ok || outcome == Outcome::error || outcome == Outcome::threw;
}

}  // namespace

// A task of the executor. What is dropped, or does not begin, has been left out.
struct Shadow::Run {
  std::shared_ptr<Invoker> invoker;
  FunctionState& function;
  std::shared_ptr<const RunVersion> version;
  std::shared_ptr<const void> in;
  Original original;
  bool ran = false;

  Run(std::shared_ptr<Invoker> i, FunctionState& f, std::shared_ptr<const RunVersion> v,
      std::shared_ptr<const void> input, Original o)
      : invoker(std::move(i)),
        function(f),
        version(std::move(v)),
        in(std::move(input)),
        original(std::move(o)) {}
  Run(Run&&) noexcept = default;
  Run& operator=(Run&&) = delete;
  ~Run() {
    if (invoker == nullptr) return;
    const Errand errand(*invoker, nullptr);  // what this destroys may stop the runtime
    if (!ran) count(version->shadow->skipped);
    version->on_their_way.fetch_sub(1, std::memory_order_relaxed);
    in = nullptr;
    original.value = nullptr;
    version = nullptr;
    invoker->one_less();
  }

  void operator()() {
    if (invoker->stopping()) return;
    // What compares its results, or destroys them, may stop the runtime.
    const Errand errand(*invoker, nullptr);
    if (!function.limited()) return run();
    // Only while a slot is left for a call all the same, and no turn of the rate.
    if (invoker->broke(function, kPlainLineage) || !function.try_enter(1)) return;
    run();
    function.leave(*invoker);
  }

  void run() {
    const Definition& definition = *version->definition;
    const std::shared_ptr<void> result = definition.results->make();
    std::shared_ptr<const RunVersion> on = version;
    const Invoker::Ended ended = invoker->attempt({.function = function,
                                                   .line = version->line,
                                                   .in = in.get(),
                                                   .result = result.get(),
                                                   .lineage = &kPlainLineage,
                                                   .event = {},
                                                   .deadline = {},
                                                   .attempt = 1,
                                                   .cancellation = nullptr,
                                                   .route = nullptr,
                                                   .parent = nullptr,
                                                   .accepted_ticks = 0,
                                                   .node = nullptr,
                                                   .on_executor = true,
                                                   .version = &on,
                                                   .shadow = true});
    ran = true;
    count(version->shadow->ran);
    if (same(definition, original, result.get(), ended.outcome)) return;
    if (version->shadow->differed.fetch_add(1, std::memory_order_relaxed) > 0) return;
    invoker->log(
        LogLevel::warning, definition.name,
        fmt::format("version {}, a shadow, ended otherwise than version {}: the first time; "
                    "FunctionStats::differed counts on",
                    version->version, original.version));
  }
};

void Shadow::follow(Invoker& invoker, FunctionState& function, const VersionUse& version,
                    const void* in, const void* result, Outcome outcome) {
  if (!comparable(outcome)) return;
  const RunVersion& shadow = *version.shadow();
  const Definition& definition = *function.definition;
  const Errand errand(invoker, nullptr);  // a copy may call anything
  const bool room = shadow.on_their_way.fetch_add(1, std::memory_order_relaxed) < kShadowsMax;
  invoker.one_more();
  // From here on its end is the task's.
  Run run(invoker.shared_from_this(), function, version.shadow(), nullptr,
          {.outcome = outcome, .version = version->version});
  if (!room || invoker.stopping()) return;
  if (in != nullptr && (run.in = definition.copy(in)) == nullptr) return;
  if (result != nullptr) {
    const Status& status = definition.results->status(result);
    run.original.code = status.code();
    Attempted failed;
    run.original.known = !status.ok() || guarded(failed, [&] {
      run.original.value = definition.results->keep(result);
      return true;
    });
    if (!run.original.known) return;
  }
  const Sharing& sharing = invoker.sharing();
  sharing.submit_surely(invoker, Task(boxed(std::move(run))), sharing.flow(Lane::background, ""));
}

}  // namespace wisp::inline v0::detail
