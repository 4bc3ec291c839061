// Functions: a typed handle to a named handler with its options.
//
//   auto price = wisp::function(
//       "price", [](const Parcel& p) -> wisp::Result<wisp::Money> { ... }, {.timeout = 200ms});
//   wisp::Status added = runtime.registry().add(price);
//   // the same function, known by name and types only:
//   auto elsewhere = wisp::named<wisp::Money(Parcel)>("price");
//
// A handler is a function pointer or a const-callable object that takes nothing, an input (by value
// or const reference), a Context&, or both in that order, and returns R, Result<R>, Status or void.
// A handler that returns Status or void is a Function<void, In>; its verbs return Status. Handlers
// run on several threads at once. One of a Batch is for subscriptions: see batch.hpp.
//
// Threads: value. A handle is one shared pointer to an immutable definition.
#pragma once

#include <concepts>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <wisp/base/config.hpp>
#include <wisp/base/fields.hpp>
#include <wisp/base/status.hpp>
#include <wisp/model/batch.hpp>
#include <wisp/model/context.hpp>
#include <wisp/model/detail/definition.hpp>
#include <wisp/model/detail/shape.hpp>
#include <wisp/model/policy.hpp>

namespace wisp::inline v0 {

namespace detail {

template <class T>
constexpr const TypeInfo* type_or_null() {
  if constexpr (std::is_void_v<T>) return nullptr;
  else return &type_info<T>();
}

// Result<R> and R are R; Status and void are void. A reference is copied from.
template <class T>
struct Unwrap {
  using type = T;
};
template <class T>
struct Unwrap<absl::StatusOr<T>> {
  using type = T;
};
template <>
struct Unwrap<Status> {
  using type = void;
};

template <class T>
inline constexpr bool kIsBatch = false;
template <class T>
inline constexpr bool kIsBatch<Batch<T>> = true;

inline namespace WISP_EXCEPTIONS_NAMESPACE {

#if WISP_EXCEPTIONS
// What is being thrown, said once for all handlers: it would be a quarter of each.
[[gnu::cold, gnu::noinline]] inline Attempted caught() {
  try {
    throw;
  } catch (const std::exception& thrown) {
    return {internal("the handler threw: {}", thrown.what()), true};
  } catch (...) {
    return {internal("the handler threw something that is no std::exception"), true};
  }
}
#endif

// The one place that contains what a handler throws. Whatever instantiates it, down to the verb
// that a program calls, has the switch in its own name too: were only this to differ, the linker
// could still keep the other object's caller.
template <class Body>
bool guarded([[maybe_unused]] Attempted& failed, Body&& body) {
#if WISP_EXCEPTIONS
  try {
    return body();
  } catch (...) {
    failed = caught();
  }
  return false;
#else
  return body();
#endif
}

// A copy of an input, null if that threw.
template <class In>
[[gnu::cold]] std::shared_ptr<const void> copy_input(const void* in) {
  std::shared_ptr<const void> made;
  Attempted failed;
  (void)guarded(failed, [&] {
    made = std::make_shared<const In>(*static_cast<const In*>(in));
    return true;
  });
  return made;
}

// What can be done with values of these types, for whoever runs the function apart from a call.
template <class R, class In>
void know_values(Definition& definition) {
  definition.results = &kResultOps<R>;
  if constexpr (!std::is_void_v<In> && !kIsBatch<In>) {
    if constexpr (IsCopyable<In>::value) definition.copy = &copy_input<In>;
  }
}

template <class F, class R, class In>
struct Bound final : Definition {
  explicit Bound(F f) : callable(std::move(f)) {
    in = type_or_null<In>();
    out = type_or_null<R>();
    takes_context = kTakesContext;
    run = &attempt;
    if constexpr (!kTakesContext) run_each = &attempt_each;
    if constexpr (kIsBatch<In>) {
      item = &type_info<typename In::Item>();
      make_batch = [](void* place, std::span<const Event* const> events) {
        static_assert(sizeof(In) == sizeof(BatchItems) && std::is_trivially_destructible_v<In>);
        new (place) In(events);
      };
    }
    fail = &assign;
    know_values<R, In>(*this);
  }

  static constexpr bool kTakesContext = [] {
    if constexpr (std::is_void_v<In>) return std::is_invocable_v<const F&, Context&>;
    else return std::is_invocable_v<const F&, const In&, Context&>;
  }();

  template <class... Input>
  static decltype(auto) dispatch(const F& f, Context* context, const Input&... input) {
    if constexpr (kTakesContext) return f(input..., *context);
    else return f(input...);
  }

  template <class... Input>
  static bool perform(const F& f, void* result, Context* context, Attempted& failed,
                      const Input&... input) {
    using Return = decltype(dispatch(f, context, input...));
    if constexpr (std::is_void_v<Return>) {
      dispatch(f, context, input...);
      if (result != nullptr) *static_cast<Status*>(result) = Status();
      return true;
    } else if constexpr (std::is_void_v<R> ||
                         std::is_same_v<std::remove_cvref_t<Return>, Result<R>>) {
      Result<R> value = dispatch(f, context, input...);
      const bool well = value.ok();
      if (!well) [[unlikely]]
        failed.status = status_of(value);
      if (result != nullptr) *static_cast<Result<R>*>(result) = std::move(value);
      return well;
    } else {
      R value = dispatch(f, context, input...);
      if (result != nullptr) *static_cast<Result<R>*>(result) = std::move(value);
      return true;
    }
  }

  static bool once(const F& f, const void* in, void* result, Context* context, Attempted& failed) {
    if constexpr (std::is_void_v<In>) return perform(f, result, context, failed);
    else return perform(f, result, context, failed, *static_cast<const In*>(in));
  }

  static bool attempt(const Definition& self, const void* in, void* result, Context* context,
                      Attempted& failed) {
    const F& f = static_cast<const Bound&>(self).callable;
    const bool well = guarded(failed, [&] { return once(f, in, result, context, failed); });
    if (!well && failed.threw && result != nullptr) assign(result, failed.status);
    return well;
  }

  static bool attempt_each(const Definition& self, const void* in, Turns& given,
                           Attempted& failed) {
    const F& f = static_cast<const Bound&>(self).callable;
    // Word by word: these need not be in memory, and a copy of the whole would wait for its parts.
    Route* const* next = given.next;
    Route* const* const end = given.end;
    Turns::Progress& progress = given.progress;
    std::atomic<std::uint64_t>& counted = given.counted;
    const std::atomic<std::uint64_t>& word = given.word;
    const std::uint64_t& expected = given.expected;
    std::uint64_t begun = progress.begun.load(std::memory_order_relaxed);
    std::uint64_t ended = progress.ended.load(std::memory_order_relaxed);
    const bool well = guarded(failed, [&] {
      while (next != end) {
        progress.route.store(*next, std::memory_order_release);
        std::atomic_signal_fence(std::memory_order_seq_cst);  // see light_barrier()
        if (word.load(std::memory_order_acquire) != expected) [[unlikely]]
          return true;
        ++next;
        progress.begun.store(++begun, std::memory_order_release);
        if (!once(f, in, nullptr, nullptr, failed)) return false;
        counted.store(counted.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        progress.ended.store(++ended, std::memory_order_release);
      }
      return true;
    });
    given.next = next;
    return well;
  }

  static constexpr auto& assign = assign_error<R>;

  F callable;
};

}  // namespace WISP_EXCEPTIONS_NAMESPACE

// A function known by name and types only.
template <class R, class In>
Definition reference(std::string_view name) {
  Definition definition;
  definition.name = name;
  definition.in = type_or_null<In>();
  definition.out = type_or_null<R>();
  return definition;
}

template <class Signature>
struct NamedTypes;
template <class R>
struct NamedTypes<R()> {
  using Output = typename Unwrap<R>::type;
  using Input = void;
};
template <class R, class In>
struct NamedTypes<R(In)> {
  using Output = typename Unwrap<R>::type;
  using Input = std::remove_cvref_t<In>;
};

}  // namespace detail

template <class R, class In>
class Function {
 public:
  using Output = R;
  using Input = In;

  explicit Function(std::shared_ptr<const detail::Definition> definition)
      : definition_(std::move(definition)) {}

  std::string_view name() const { return definition_->name; }
  const std::shared_ptr<const detail::Definition>& definition() const { return definition_; }

 private:
  std::shared_ptr<const detail::Definition>
      definition_;  // shared: runtimes keep what they run; immutable
};

namespace detail {

// A Function, or what WISP_FUNCTION declares.
template <class T>
concept FunctionHandle = requires(const T& t) {
  typename T::Input;
  typename T::Output;
  t.definition();
};

inline namespace WISP_EXCEPTIONS_NAMESPACE {

// What a callable becomes; see also stateful.hpp.
template <class Callable>
struct Making {
  static_assert(require_handler<Callable>());
  using Shape = typename CallableShape<Callable>::Type;
  using R = typename Unwrap<std::remove_cvref_t<typename Shape::Return>>::type;
  using In = typename Shape::In;
  static_assert(!kIsBatch<In> || std::is_void_v<R> || std::is_same_v<R, Failed>,
                "wisp: a handler of a wisp::Batch returns void, wisp::Status, wisp::Failed or "
                "wisp::Result<wisp::Failed>");
  using Made = Bound<Callable, R, In>;
};

template <class F>
auto make_function(std::string_view name, F&& callable, FunctionOptions options,
                   std::source_location where) {
  using Parts = Making<std::decay_t<F>>;
  using Made = typename Parts::Made;
  return Function<typename Parts::R, typename Parts::In>(define(
      new Made(std::forward<F>(callable)),
      [](const Definition* made) { delete static_cast<const Made*>(made); }, name, options, where));
}

}  // namespace WISP_EXCEPTIONS_NAMESPACE
}  // namespace detail

inline namespace WISP_EXCEPTIONS_NAMESPACE {

// A function without the macro. Bad names and options are reported when it is added to a registry.
template <class F>
auto function(std::string_view name, F&& callable, FunctionOptions options = {},
              std::source_location where = std::source_location::current()) {
  return detail::make_function(name, std::forward<F>(callable), options, where);
}

}  // namespace WISP_EXCEPTIONS_NAMESPACE

}  // namespace wisp::inline v0
