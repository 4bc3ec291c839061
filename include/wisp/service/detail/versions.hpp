// The versions of a function within one Runtime: which one a call runs on, and until when it stays.
//
//   const VersionUse use(first, directions, {.key = key}, random);  // until it goes
//   use->definition->run(*use->definition, in, result, nullptr, failed);
//
// A function with one version pays a load: Directions::only() is that. Its warm path has none, as
// RunVersion::shortest says as much as it had to ask anyway. Else a use holds a share
// of its version, taken under the function's mutex; but where a call needs no more than a
// BareFrame, which is the warm path, it marks its version in a word of its own thread and looks
// whether that still has all the calls. Whoever directs them elsewhere does the opposite, with a
// heavy barrier between (readers.hpp), and keeps what is marked. Who takes its mark away looks
// whether somebody wants the version gone, and then lets go of it. Source: Michael, "Hazard
// Pointers" (2004), with an asymmetric barrier.
//
// Threads: any; a VersionUse belongs to the thread that made it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <wisp/base/mutex.hpp>
#include <wisp/base/random.hpp>
#include <wisp/engine/meter.hpp>
#include <wisp/model/registry.hpp>

namespace wisp::inline v0::detail {

struct FunctionState;
class InstancePool;
struct InstanceStarts;
class Invoker;
class Ledger;

// Of a version as a shadow; relaxed.
struct ShadowCounts {
  std::atomic<std::uint64_t> ran{0};
  std::atomic<std::uint64_t> differed{0};
  std::atomic<std::uint64_t> skipped{0};
};

// What running a version takes. The first one is its FunctionState.
struct RunVersion : Version {
  ~RunVersion() override;

  int line = 0;
  // Without Context, timeout and concurrency limit, so that a BareFrame may do for it.
  bool bare = false;
  bool sampled = false;
  // Of the first: bare, and all calls are its. Relaxed: who reads late runs it, which never goes.
  std::atomic<bool> shortest{false};
  // Of a stateful function, else null; `definition` is this runtime's own then. Shared with its
  // timer.
  std::shared_ptr<InstancePool> instances;

  // As a shadow. The counts outlive it; null for the first while it is the only one.
  mutable std::atomic<int> on_their_way{0};  // relaxed
  std::shared_ptr<ShadowCounts> shadow;
};

// Which part of the draws a key falls into: the same in each process. 0: no key.
std::uint32_t draw_of(std::string_view function, std::string_view key);

// What a version is chosen by: a key, or the draw that was made of it; neither: a coin.
struct ChosenBy {
  std::string_view key{};
  std::uint32_t draw = 0;
};

// Where a function's calls go.
class Directions {
 public:
  explicit Directions(RunVersion& first) : first_(first), only_(&first) {}

  // That all calls go to; null if they are split, or have a shadow. Acquire: it is whole.
  const RunVersion* only() const { return only_.load(std::memory_order_acquire); }

  void direct(const Traffic& traffic) ABSL_LOCKS_EXCLUDED(mutex_);
  // Of what has no calls any more, what no thread has marked. Destroys it.
  void let_go(Ledger& ledger) ABSL_LOCKS_EXCLUDED(mutex_);
  // By whoever has taken its mark away, with a light barrier between.
  bool leaving() const { return leaving_.load(std::memory_order_relaxed); }

  // Null: the first; of the shadow, none. That is always chosen by a coin.
  struct Chosen {
    std::shared_ptr<const RunVersion> version;
    std::shared_ptr<const RunVersion> shadow;
  };
  Chosen choose(std::string_view function, const ChosenBy& by, Random& random)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  RunVersion& first_;
  std::atomic<const RunVersion*> only_;
  std::atomic<bool> leaving_{false};
  mutable Mutex mutex_;
  // Null: the first; of the shadow, none.
  std::shared_ptr<const RunVersion> one_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const RunVersion> two_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const RunVersion> shadow_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t of_two_ ABSL_GUARDED_BY(mutex_) = 0;  // of 2^32 draws
  std::uint64_t of_shadow_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::shared_ptr<const RunVersion>> gone_ ABSL_GUARDED_BY(mutex_);
};

// A version while a call is inside of it.
class VersionUse {
 public:
  // Chosen now.
  VersionUse(const RunVersion& first, Directions& directions, const ChosenBy& by, Random& random)
      : version_(directions.only()) {
    if (version_ != &first) [[unlikely]]
      choose(first, directions, by, random);
  }
  // The same once more. Null: the first.
  VersionUse(const RunVersion& first, const std::shared_ptr<const RunVersion>& again)
      : version_(&first) {
    if (again != nullptr) [[unlikely]]
      hold({again, nullptr});
  }
  ~VersionUse() {
    if (held_) [[unlikely]]
      let_go();
  }
  VersionUse(const VersionUse&) = delete;
  VersionUse& operator=(const VersionUse&) = delete;

  const RunVersion& operator*() const { return *version_; }
  const RunVersion* operator->() const { return version_; }
  // Null: the first.
  std::shared_ptr<const RunVersion> share() const {
    return held_ ? chosen_.version : std::shared_ptr<const RunVersion>();
  }
  bool shadowed() const { return held_ && chosen_.shadow != nullptr; }
  // Requires: shadowed().
  const std::shared_ptr<const RunVersion>& shadow() const { return chosen_.shadow; }

 private:
  void choose(const RunVersion& first, Directions& directions, const ChosenBy& by, Random& random);
  void hold(Directions::Chosen chosen);
  void let_go();

  const RunVersion* version_;
  bool held_ = false;  // then there is a share: nearly no use needs one
  union {
    Directions::Chosen chosen_;
  };
};

// An attempt that is run once more, on a version that is to prove itself.
struct Shadow {
  // What comes back is compared with `result`, a Result<R>, or null if it is not known. Left out
  // and counted if there is no room for it. Requires: version.shadowed(), and that the thread is
  // not inside the handler any more.
  static void follow(Invoker& invoker, FunctionState& function, const VersionUse& version,
                     const void* in, const void* result, Outcome outcome);
  struct Run;
};

}  // namespace wisp::inline v0::detail
