// Which functions a Runtime knows.
//
//   wisp::Status added =
//       runtime.registry().add(wisp::function("double", [](int n) { return 2 * n; }));
//   for (const wisp::FunctionInfo& each : runtime.registry().list())
//     fmt::print("{} {}\n", each.name, each.signature);
//
// A function, once added, stays for the registry's life, so whoever found one may keep the pointer.
// Finding takes no lock: two insert-only hash tables whose slots are published with release and
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

struct FunctionInfo {
  std::string name;
  int version = 1;
  std::string signature;  // "Parcel -> Money"
  std::string place;      // file:line of the declaration
};

namespace detail {

// What an engine keeps beside a function of its Runtime.
struct Attachment {
  virtual ~Attachment() = default;
  // What has to be there before the first call, such as provisioned instances.
  virtual Status prepare() { return Status(); }
};

// A function of one Runtime. Immutable once published.
struct Registered {
  std::shared_ptr<const Definition> definition;
  int index = 0;  // 0, 1, 2 … in order of addition
  int version = 1;
  std::unique_ptr<Attachment> attachment;
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

  // kAlreadyExists naming both places, kInvalidArgument for a bad name or option, or two types of
  // one wire name, kResourceExhausted beyond kFunctionsMax, and why a provisioned instance could
  // not be built. Adding the same handle again changes nothing.
  template <class R, class In>
  Status add(const Function<R, In>& function) {
    return add(function.definition());
  }
  Status add(std::shared_ptr<const detail::Definition> definition);

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

  const Attach attach_;
  mutable Mutex mutex_;  // writers and list()
  std::vector<std::unique_ptr<detail::Registered>> functions_ ABSL_GUARDED_BY(mutex_);
  // By wire name, for each type of each function.
  absl::flat_hash_map<std::string_view, const TypeInfo*> types_ ABSL_GUARDED_BY(mutex_);
  detail::FunctionTable by_handle_;  // written under mutex_
  detail::FunctionTable by_name_;    // written under mutex_
};

}  // namespace wisp::inline v0
