// Functions with a state of their own: a class whose objects are built on first need and kept.
//
//   struct Resizer {
//     Model model = Model::load("resize.bin");                       // slow: once for each object
//     wisp::Result<Image> operator()(const Image& image, wisp::Context&);   // not const
//   };
//   WISP_FUNCTION(resize, .instances = {.provisioned = 1, .max = 4}) = wisp::stateful<Resizer>();
//   WISP_FUNCTION(shrink) = wisp::stateful<Resizer>([] { return Resizer{Model::load("s.bin")}; });
//
// An instance is entered by one call at a time, so it needs no lock; two calls at once have two. A
// call takes the one that was given back last. Where none is idle it builds one, on its own thread
// and within its own deadline: a cold start, which its receipt shows as `cold` and `init`, and
// FunctionStats::cold_starts counts. Init is part of `wall` and of the bill, as clouds bill it.
// FunctionOptions::instances says how many there are and for how long; see Instances.
//
// A factory that throws, or gives an error, fails the attempt: "an instance of 'resize' could not
// be built: ...", tried again under the function's retry rule. An instance whose call threw is
// destroyed, as nobody knows what state it is in; one whose call returned an error is kept.
// Instances belong to a Runtime, which destroys them when it stops, each after its last call. Their
// constructors and destructors run on whatever thread needs them to, with no wisp lock held: those
// of idle ones that go, and of what is built ahead, in tasks of their own, for which stop() waits.
// They do not wait for a call of their own function.
//
// Threads: value.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include <wisp/model/function.hpp>

namespace wisp::inline v0 {
namespace detail {

// The factory where none is given.
template <class T>
struct BuildDefault {
  T operator()() const { return T{}; }
};

template <class T, class F>
struct Stateful {
  using Instance = T;
  F factory;
};

template <class F>
struct InstanceShape {
  using Type = Shape<void, int, int, int>;  // no good one
};
template <class R, class C, class... Args>
struct InstanceShape<R (C::*)(Args...)> {
  using Type = Shape<R, Args...>;
};
template <class R, class C, class... Args>
struct InstanceShape<R (C::*)(Args...) noexcept> : InstanceShape<R (C::*)(Args...)> {};
template <class R, class C, class... Args>
struct InstanceShape<R (C::*)(Args...) const> : InstanceShape<R (C::*)(Args...)> {};
template <class R, class C, class... Args>
struct InstanceShape<R (C::*)(Args...) const noexcept> : InstanceShape<R (C::*)(Args...)> {};

template <class T>
constexpr bool require_instance() {
  static_assert(
      requires { &T::operator(); },
      "wisp: a stateful function's class must have one call operator with spelled-out parameters: "
      "no auto parameters, no overloads");
  if constexpr (requires { &T::operator(); }) {
    static_assert(InstanceShape<decltype(&T::operator())>::Type::kGood,
                  "wisp: the call operator of a stateful function's class takes nothing, an input "
                  "by value or const reference, a wisp::Context&, or both in that order");
    return require_input<typename InstanceShape<decltype(&T::operator())>::Type::In>();
  }
  return true;
}

inline namespace WISP_EXCEPTIONS_NAMESPACE {

// An instance as the callable that it is during one call.
template <class T>
struct Entered {
  T* instance;
  template <class... Args>
    requires std::is_invocable_v<T&, Args...>
  decltype(auto) operator()(Args&&... args) const {
    return (*instance)(std::forward<Args>(args)...);
  }
};

template <class T, class F, class R, class In>
struct BoundStateful final : Definition {
  using Call = Bound<Entered<T>, R, In>;

  explicit BoundStateful(Stateful<T, F> handler) : factory(std::move(handler.factory)) {
    in = type_or_null<In>();
    out = type_or_null<R>();
    takes_context = true;
    run = &without_instance;
    fail = &assign_error<R>;
    know_values<R, In>(*this);
    instances = &kOps;
  }

  static T* own(T* made, Attempted& /*failed*/) { return made; }
  static T* own(std::unique_ptr<T> made, Attempted& failed) {
    if (made == nullptr) failed.status = internal("its factory gave none");
    return made.release();
  }
  template <class Made>
  static T* own(absl::StatusOr<Made> made, Attempted& failed) {
    if (!made.ok()) {
      failed.status = made.status();
      return nullptr;
    }
    if constexpr (std::is_same_v<Made, T>) return new T(*std::move(made));
    else return own(*std::move(made), failed);
  }

  static void* build(const Definition& self, Attempted& failed) {
    const F& make = static_cast<const BoundStateful&>(self).factory;
    T* built = nullptr;
    (void)guarded(failed, [&] {
      // Where it stays, if it is given by value: it need not move.
      if constexpr (std::is_same_v<decltype(make()), T>) built = new T(make());
      else built = own(make(), failed);
      return built != nullptr;
    });
    return built;
  }

  static bool enter(void* instance, const void* input, void* result, Context* context,
                    Attempted& failed) {
    const Entered<T> entered{static_cast<T*>(instance)};
    const bool well =
        guarded(failed, [&] { return Call::once(entered, input, result, context, failed); });
    if (!well && failed.threw && result != nullptr) assign_error<R>(result, failed.status);
    return well;
  }

  // A runtime has a definition of its own in place of this, with instances.
  static bool without_instance(const Definition& self, const void* /*in*/, void* result,
                               Context* /*context*/, Attempted& failed) {
    failed.status = failed_precondition("'{}' has no instances outside of a runtime", self.name);
    if (result != nullptr) assign_error<R>(result, failed.status);
    return false;
  }

  static constexpr InstanceOps kOps{&build, &enter,
                                    [](void* instance) { delete static_cast<T*>(instance); }};

  F factory;
};

template <class T, class F>
struct Making<Stateful<T, F>> {
  static_assert(require_instance<T>());
  using Shape = typename InstanceShape<decltype(&T::operator())>::Type;
  using R = typename Unwrap<std::remove_cvref_t<typename Shape::Return>>::type;
  using In = typename Shape::In;
  using Made = BoundStateful<T, F, R, In>;
};

}  // namespace WISP_EXCEPTIONS_NAMESPACE
}  // namespace detail

// A handler with instances of T. `factory` takes nothing, is callable through const from several
// threads at once, and gives a T, a std::unique_ptr<T> or a Result of either; without it, T{}.
template <class T, class F = detail::BuildDefault<T>>
detail::Stateful<T, std::decay_t<F>> stateful(F&& factory = {}) {
  static_assert(std::is_invocable_v<const std::decay_t<F>&>,
                "wisp: a factory of instances takes nothing and is callable through const");
  return {std::forward<F>(factory)};
}

}  // namespace wisp::inline v0
