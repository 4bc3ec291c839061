// Which functions a Runtime knows.
//
//   wisp::Status added =
//       runtime.registry().add(wisp::function("double", [](int n) { return 2 * n; }));
//   for (const wisp::FunctionInfo& each : runtime.registry().list())
//     fmt::print("{} {}\n", each.name, each.signature);
//
// A function may have several versions, and its name is the alias that says which of them run:
//
//   wisp::Result<int> two = runtime.registry().publish(wisp::function("double", shift_left));
//   wisp::Status a_tenth =
//       runtime.registry().alias("double", {{.version = 1, .weight = 0.9}, {*two, 0.1}});
//   wisp::Status all = runtime.registry().alias("double", {{*two}});   // or rollback("double")
//
// Which version a call runs on is chosen when it begins, by the hash of its CallOptions::key if it
// has one, else by a coin; its retries run on the same. Each attempt of a post or an event chooses
// anew, so that after a rollback what failed is tried on what was there before; an event's key
// counts there too, but for batches and synchronous subscriptions. An emit that has begun delivers
// to the latter as it began.
//
// Before a version has calls, some may be run on it as well, as its shadow: once an attempt has
// ended, a copy of its input is run on the shadow, apart, with neither deadline, tenant nor retry,
// and what comes back is compared with what the attempt gave: see FunctionStats::shadowed.
//
//   wisp::Status compared = runtime.registry().shadow("double", *two, 0.01);
//
// What a shadow does is done: one that writes to a database writes to it. It pays on its version's
// own line of the bill.
//
// Version 1 is what was added. It stays, as the handles that name the function are its own. Of the
// others a registry holds those that have calls, those that rollback() would bring back, and
// those that had none yet. The rest is let go: its handler is destroyed once its last call has
// ended, by alias(), rollback() or that call's thread, and its number is not given again.
//
// A function, once added, stays for the registry's life, so whoever found one may keep the pointer.
// Resolving takes no lock: two insert-only hash tables whose slots are published with release and
// read with acquire; a table that grows keeps its predecessor alive for readers that are still in
// it (all tables together are at most twice the last one).
//
// Threads: any.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/mutex.hpp>
#include <wisp/base/status.hpp>
#include <wisp/base/text.hpp>
#include <wisp/model/function.hpp>

namespace wisp::inline v0 {

// How much of a function's calls a version gets.
struct VersionShare {
  int version = 1;
  double weight = 1;  // above 0; those of one alias sum to 1
};

struct FunctionInfo {
  std::string name;
  int version = 1;        // that all its calls go to, or the larger part
  std::string signature;  // "Parcel -> Money"
  std::string place;      // file:line of that version's declaration
  std::vector<VersionShare> traffic{};
  std::optional<VersionShare> shadow{};
};

// Of one function: its alias names so many at most, and so many may wait for one.
inline constexpr std::size_t kAliasVersionsMax = 2;
inline constexpr std::size_t kVersionsWaitingMax = 16;

namespace detail {

// A version of a function as an engine runs it.
struct Version {
  std::shared_ptr<const Definition> definition;
  int version = 1;

  Version() = default;
  virtual ~Version() = default;
  Version(const Version&) = delete;
  Version& operator=(const Version&) = delete;
};

// Where calls go.
struct Traffic {
  std::shared_ptr<const Version> first;
  std::shared_ptr<const Version> second{};  // null: all go to the first
  double weight = 0;                        // of the second
  std::shared_ptr<const Version> shadow{};  // null: none
  double shadowed = 0;                      // that share of attempts
};

// What an engine keeps beside a function of its Runtime.
struct Attachment {
  virtual ~Attachment() = default;
  // What has to be there before the first call, such as provisioned instances.
  virtual Status prepare() { return Status(); }

  // Version 1, which lives as long as this.
  virtual const Version* first() const { return nullptr; }
  // Another one, ready for its first call; or why not. It has no calls yet. A user's factory may
  // run meanwhile.
  virtual Result<std::shared_ptr<const Version>> make(std::shared_ptr<const Definition> definition,
                                                      int version);
  // For calls that begin from now on. One at a time.
  virtual void direct(const Traffic&) {}
  // Lets go of what direct() took the calls from, unless a call is still inside: then that call
  // does. Destroys handlers.
  virtual void let_go() {}
  // Nothing can refuse the function any more: called under the registry's lock, before it can be
  // found.
  virtual void published() {}
};

// The versions of a function of which more than one was published.
struct Versions {
  int last = 1;  // number given out
  Traffic now;
  Traffic before;                                       // empty: nothing to go back to
  std::vector<std::shared_ptr<const Version>> waiting;  // that had no calls yet
};

// A function of one Runtime. Immutable once published, but for its versions.
struct Registered {
  std::shared_ptr<const Definition> definition;  // of version 1
  int index = 0;                                 // 0, 1, 2 … in order of addition
  std::unique_ptr<Attachment> attachment;
  std::unique_ptr<Versions> versions{};  // the registry's mutex guards it; null: only one
};

// Insert-only open addressing from a 64-bit hash to Registered. One writer at a time, any number of
// readers.
class FunctionTable {
 public:
  FunctionTable();

  template <class Equal>
  const Registered* find(std::uint64_t hash, const Equal& equal) const {
    const Slots& slots = *slots_.load(std::memory_order_acquire);
    for (std::size_t i = hash & slots.mask;; i = (i + 1) & slots.mask) {
      // Acquire: pairs with the release in insert(), so the entry is seen whole.
      const Slot& slot = slots.slot[i];
      const Registered* entry = slot.entry.load(std::memory_order_acquire);
      if (entry == nullptr || (slot.hash == hash && equal(*entry))) return entry;
    }
  }

  void insert(std::uint64_t hash, const Registered* entry);
  void clear();

 private:
  struct Slot {
    std::uint64_t hash = 0;  // written before its entry is published
    std::atomic<const Registered*> entry{nullptr};
  };
  struct Slots {
    explicit Slots(std::size_t size) : mask(size - 1), slot(new Slot[size]) {}
    std::size_t mask;
    std::unique_ptr<Slot[]> slot;
  };

  static void put(Slots& slots, std::uint64_t hash, const Registered* entry);

  std::atomic<Slots*> slots_;
  std::vector<std::unique_ptr<Slots>> all_;  // the last is slots_
  std::size_t count_ = 0;
};

}  // namespace detail

class Registry {
 public:
  // `attach` gives an engine its word beside each function; it runs before the function can be
  // found: under the registry's lock, but for a function with instances, whose factory is the
  // user's.
  using Attach = std::function<std::unique_ptr<detail::Attachment>(const detail::Registered&)>;
  explicit Registry(Attach attach = {}) : attach_(std::move(attach)) {}
  // What a handler captured may ask the registry as it is destroyed: it finds nothing any more.
  ~Registry();

  // kAlreadyExists naming both places, or two types of one wire name; kInvalidArgument for a bad
  // name or option; kFailedPrecondition for a lane or a reservation that the Runtime did not start
  // with; kResourceExhausted beyond kFunctionsMax, and why a provisioned instance could not be
  // built. Adding the same handle again changes nothing.
  template <class R, class In>
  [[nodiscard]] Status add(const Function<R, In>& function) {
    return add(function.definition());
  }
  [[nodiscard]] Status add(std::shared_ptr<const detail::Definition> definition);

  // Makes it a version of the function of that name, which has no calls until alias() gives it
  // some. Its number: 2, 3 … kNotFound; kInvalidArgument if it takes or returns another type, or
  // differs in another option than memory_mb and meter: those are the function's; kAlreadyExists if
  // it is the handle of version 1; kResourceExhausted beyond kVersionsWaitingMax that wait; why a
  // provisioned instance could not be built; kUnavailable once the runtime stops. Its handle is no
  // way to call it. Each takes a line of the bill for good, of which there are 16,384.
  template <class R, class In>
  Result<int> publish(const Function<R, In>& function) {
    return publish(function.definition());
  }
  Result<int> publish(std::shared_ptr<const detail::Definition> definition);

  // Calls that begin from now on go to these versions, by weight: a larger weight of the second one
  // moves keys to it and none away. What has begun ends on the version that it began on. kNotFound
  // for a function or a version, kInvalidArgument for no versions or over kAliasVersionsMax, for
  // one that is named twice, and for weights that do not sum to 1 within a millionth. On an error
  // nothing changes.
  [[nodiscard]] Status alias(std::string_view function, const std::vector<VersionShare>& shares);

  // Calls go where they went before alias() changed that last; a second one undoes the first.
  // kFailedPrecondition if nothing was changed yet, kNotFound.
  [[nodiscard]] Status rollback(std::string_view function);

  // From now on that share of attempts is run on this version too; 0 ends it, as alias() does once
  // it gives it calls. kNotFound; kInvalidArgument for a share outside of [0, 1], a version that
  // has calls, and a function whose input cannot be copied, or whose output cannot be compared by
  // == and copied. An attempt of the shadow takes a slot of the function's limits, and only one
  // beside which another is free: with a limit of 1 none is ever run.
  [[nodiscard]] Status shadow(std::string_view function, int version, double share = 1);

  std::optional<FunctionInfo> find(std::string_view name) const;

  // In order of addition.
  std::vector<FunctionInfo> list() const;

  static constexpr int kFunctionsMax = 100'000;

  // The function behind a handle, or behind its name when the handle is a reference. Takes no lock.
  // kNotFound, or kInvalidArgument naming both signatures.
  Result<const detail::Registered*> resolve(const detail::Definition& definition) const {
    const detail::Registered* found = lookup(definition);
    if (found != nullptr) return found;
    return resolve_slow(definition);
  }
  // The function of that name if it takes `in` and gives `out` (null: nothing, void).
  Result<const detail::Registered*> resolve(std::string_view name, const TypeInfo* in,
                                            const TypeInfo* out) const;

  // Null when the handle itself is not in this registry.
  const detail::Registered* lookup(const detail::Definition& definition) const {
    return by_handle_.find(hash_of(definition), [&definition](const detail::Registered& entry) {
      return entry.definition.get() == &definition;
    });
  }
  const detail::Registered* lookup(std::string_view name) const {
    return by_name_.find(hash_of(name), [name](const detail::Registered& entry) {
      return entry.definition->name == name;
    });
  }

 private:
  static std::uint64_t hash_of(const detail::Definition& definition) {
    return (reinterpret_cast<std::uintptr_t>(&definition) >> 4) * 0x9e3779b97f4a7c15U >> 20;
  }
  static std::uint64_t hash_of(std::string_view name) { return detail::hash_text(name); }
  Result<const detail::Registered*> resolve_slow(const detail::Definition& definition) const;
  Status check_types(const detail::Definition& definition) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Result<detail::Registered*> named(std::string_view function) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  FunctionInfo info_of(const detail::Registered& entry) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Publishes, and gives back what nobody needs any more, to be destroyed without the lock.
  std::vector<std::shared_ptr<const detail::Version>> direct(detail::Registered& entry,
                                                             detail::Traffic traffic)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Attach attach_;
  mutable Mutex mutex_;  // writers, find() and list()
  std::vector<std::unique_ptr<detail::Registered>> functions_ ABSL_GUARDED_BY(mutex_);
  // By wire name, for each type of each function.
  absl::flat_hash_map<std::string_view, const TypeInfo*> types_ ABSL_GUARDED_BY(mutex_);
  detail::FunctionTable by_handle_;  // written under mutex_
  detail::FunctionTable by_name_;    // written under mutex_
};

}  // namespace wisp::inline v0
