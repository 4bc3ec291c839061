// What a handle points to: a function without its types.
//
//   const Definition& definition = *price.definition();
//   Attempted failed;
//   const bool well = definition.run(definition, &parcel, &result, nullptr, failed);
//
// The types are behind three pointers to functions, which are made where they are known: see Bound
// in function.hpp.
//
// Threads: any; a definition never changes once built.
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <wisp/base/fields.hpp>
#include <wisp/base/status.hpp>
#include <wisp/model/context.hpp>
#include <wisp/model/policy.hpp>

namespace wisp::inline v0::detail {

// How one attempt ended, as far as the handler tells.
struct Attempted {
  Status status;
  bool threw = false;
};

struct Definition;
class Route;  // to the layer above, what a run is for

// Runs of a handler with the same input in a row, one for each route. The loop is the handler's
// own: a short one is part of it, and little is left to do for each run. Nobody but this thread
// writes to the words meanwhile, and the handler itself only to `counted`.
struct Turns {
  struct Progress {
    // Written before each run, release: its route, and how many have begun.
    std::atomic<Route*> route{nullptr};
    std::atomic<std::uint64_t> begun{0};
    // And after each that went well, release.
    std::atomic<std::uint64_t> ended{0};
  };
  Route* const* next;
  Route* const* end;
  Progress& progress;
  std::atomic<std::uint64_t>& counted;  // as `ended`, relaxed
  // Between `at` and a run: no run begins once they differ.
  const std::atomic<std::uint64_t>& word;  // acquire
  const std::uint64_t& expected;
};

// What can be done with a Result<R> that somebody else remembers. One for each R, all cold.
struct ResultOps {
  const Status& (*status)(const void* result);
  // A copy of the value of an ok one, null for void; throws what that copy throws. Null, as `give`,
  // where there is no copy of an R.
  std::shared_ptr<const void> (*keep)(const void* result) = nullptr;
  // Assigns such a copy.
  void (*give)(void* result, const void* kept) = nullptr;
  // A Result<R> of its own, an error so far.
  std::shared_ptr<void> (*make)();
  // Whether its value equals one that was kept. Requires: it is ok. Null where an R has no ==.
  bool (*equal)(const void* result, const void* kept) = nullptr;
};

// Of a function with instances; see stateful.hpp. None of them throws.
struct InstanceOps {
  // Null: `failed` says why.
  void* (*build)(const Definition& self, Attempted& failed);
  // As Definition::run.
  bool (*enter)(void* instance, const void* in, void* result, Context* context, Attempted& failed);
  void (*destroy)(void* instance);
};

// A function without its types. Immutable once built.
struct Definition {
  // What each call reads comes first.
  std::string name;
  const TypeInfo* in = nullptr;   // null: no input
  const TypeInfo* out = nullptr;  // null: void

  // Runs the handler once. `in` points to a value of type `in`; `result` to a Result<R> that is
  // assigned, or is null when nobody wants it; `context` is null for a handler that takes none.
  // True if it went well, else `failed` says how it ended. Null in a reference (wisp::named), which
  // has no handler of its own. Never throws.
  bool (*run)(const Definition& self, const void* in, void* result, Context* context,
              Attempted& failed) = nullptr;
  bool takes_context = false;
  bool expected = false;    // a reference at namespace scope: checked when a Runtime starts
  FunctionOptions options;  // name empty: `name` above is it
  std::source_location where;
  // For one route after the other, past which `turns.next` moves before its run. False after a run
  // that did not go well. Null for a handler that takes a Context.
  bool (*run_each)(const Definition& self, const void* in, Turns& turns,
                   Attempted& failed) = nullptr;
  // Of a handler of a Batch, which `in` is: the type of an item, and what makes one, at a place of
  // the size of BatchItems. Null for others.
  const TypeInfo* item = nullptr;
  void (*make_batch)(void* place, std::span<const Event* const> events) = nullptr;
  // Assigns an error to the Result<R>.
  void (*fail)(void* result, Status status) = nullptr;
  const ResultOps* results = nullptr;  // null in a reference
  // A copy of an input, null if that threw. Null itself: it takes none, or none can be copied.
  std::shared_ptr<const void> (*copy)(const void* in) = nullptr;
  const InstanceOps* instances = nullptr;  // null: it has none

  bool reference() const { return run == nullptr; }
  // Whether what a runtime keeps of it may refuse it, and is asked before others know it.
  bool prepares() const {
    return instances != nullptr || options.limits.reserved || options.lane != Lane::normal;
  }
  // The payload that a subscription gives it; null: any.
  const TypeInfo* takes() const { return make_batch == nullptr ? in : item; }
  Attempted invoke(const void* input, void* result, Context& context) const {
    Attempted attempted;
    run(*this, input, result, &context, attempted);
    return attempted;
  }
  std::string place() const;
};

// What a simulator puts between a runtime and its handlers.
class Simulator {
 public:
  // What the runtime is to run in place of `handler`: as that in all but how it runs. Any thread.
  virtual std::shared_ptr<const Definition> around(std::shared_ptr<const Definition> handler) = 0;

 protected:
  ~Simulator() = default;
};

// The rest of a definition that was made for a handler, whose type `destroy` knows. Neither a class
// with virtual functions nor a template: both would be the larger part of what a function adds to a
// program.
std::shared_ptr<const Definition> define(Definition* made, void (*destroy)(const Definition*),
                                         std::string_view name, const FunctionOptions& options,
                                         const std::source_location& where);

// Definition::fail, one for all functions of that output.
template <class R>
void assign_error(void* result, Status status) {
  *static_cast<Result<R>*>(result) = std::move(status);
}

// Whether T can be copied. A container claims that it can before anybody has looked at its
// elements, so those are asked.
template <class T>
struct IsCopyable : std::is_copy_constructible<T> {};
template <class T>
  requires requires { typename T::value_type; } && (!std::is_same_v<typename T::value_type, T>)
struct IsCopyable<T>
    : std::conjunction<std::is_copy_constructible<T>, IsCopyable<typename T::value_type>> {};
template <class A, class B>
struct IsCopyable<std::pair<A, B>>
    : std::conjunction<IsCopyable<std::remove_cv_t<A>>, IsCopyable<B>> {};
template <class... Each>
struct IsCopyable<std::tuple<Each...>> : std::conjunction<IsCopyable<Each>...> {};
template <class... Each>
struct IsCopyable<std::variant<Each...>> : std::conjunction<IsCopyable<Each>...> {};

// And whether a == b is more than a claim.
template <class T>
struct IsEqualityComparable : std::bool_constant<std::equality_comparable<T>> {};
template <class T>
  requires requires { typename T::value_type; } && (!std::is_same_v<typename T::value_type, T>)
struct IsEqualityComparable<T> : std::conjunction<std::bool_constant<std::equality_comparable<T>>,
                                                  IsEqualityComparable<typename T::value_type>> {};
template <class A, class B>
struct IsEqualityComparable<std::pair<A, B>>
    : std::conjunction<IsEqualityComparable<std::remove_cv_t<A>>, IsEqualityComparable<B>> {};
template <class... Each>
struct IsEqualityComparable<std::tuple<Each...>> : std::conjunction<IsEqualityComparable<Each>...> {
};
template <class... Each>
struct IsEqualityComparable<std::variant<Each...>>
    : std::conjunction<IsEqualityComparable<Each>...> {};

template <class R>
const Status& status_of_result(const void* result) {
  return status_of(*static_cast<const Result<R>*>(result));
}
template <class R>
[[gnu::cold]] std::shared_ptr<const void> keep_result(const void* result) {
  if constexpr (std::is_void_v<R>) return nullptr;
  else return std::make_shared<const R>(**static_cast<const Result<R>*>(result));
}
template <class R>
[[gnu::cold]] void give_result(void* result, const void* kept) {
  if constexpr (std::is_void_v<R>) *static_cast<Status*>(result) = Status();
  else *static_cast<Result<R>*>(result) = Result<R>(absl::in_place, *static_cast<const R*>(kept));
}
template <class R>
[[gnu::cold]] std::shared_ptr<void> make_result() {
  return std::make_shared<Result<R>>(Status(StatusCode::kUnknown, ""));
}
template <class R>
[[gnu::cold]] bool equal_result(const void* result, const void* kept) {
  if constexpr (std::is_void_v<R>) return true;
  else return **static_cast<const Result<R>*>(result) == *static_cast<const R*>(kept);
}
template <class R>
constexpr ResultOps result_ops() {
  ResultOps ops{.status = &status_of_result<R>, .make = &make_result<R>};
  if constexpr (std::disjunction_v<std::is_void<R>, IsCopyable<R>>) {
    ops.keep = &keep_result<R>;
    ops.give = &give_result<R>;
  }
  if constexpr (std::disjunction_v<std::is_void<R>, IsEqualityComparable<R>>)
    ops.equal = &equal_result<R>;
  return ops;
}
template <class R>
inline constexpr ResultOps kResultOps = result_ops<R>();

// "Parcel -> Money", for messages.
std::string signature(const Definition& definition);

}  // namespace wisp::inline v0::detail
