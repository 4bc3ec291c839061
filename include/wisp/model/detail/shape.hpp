// What handlers take and return, by their call operators, and what a user reads where one cannot
// be.
#pragma once

#include <concepts>
#include <type_traits>

#include <wisp/base/payload.hpp>

namespace wisp::inline v0 {

class Context;

namespace detail {

// What a callable of this parameter list takes. Anything else is refused by require_handler.
template <class R, class... Args>
struct Shape {
  static constexpr bool kGood = false;
  using Return = R;
  using In = void;
};
template <class R>
struct Shape<R> {
  static constexpr bool kGood = true;
  using Return = R;
  using In = void;
};
template <class R>
struct Shape<R, Context&> : Shape<R> {};
template <class R, class A>
  requires(!std::same_as<A, Context&>)
struct Shape<R, A> {
  static constexpr bool kGood =
      !std::is_reference_v<A> ||
      (std::is_lvalue_reference_v<A> && std::is_const_v<std::remove_reference_t<A>>);
  using Return = R;
  using In = std::remove_cvref_t<A>;
};
template <class R, class A>
  requires(!std::same_as<A, Context&>)
struct Shape<R, A, Context&> : Shape<R, A> {};

template <class F>
struct MemberShape {
  static constexpr bool kConst = false;
  using Type = Shape<void>;
};
template <class R, class C, class... Args>
struct MemberShape<R (C::*)(Args...) const> {
  static constexpr bool kConst = true;
  using Type = Shape<R, Args...>;
};
template <class R, class C, class... Args>
struct MemberShape<R (C::*)(Args...) const noexcept> : MemberShape<R (C::*)(Args...) const> {};

template <class F>
struct CallableShape {
  static constexpr bool kGeneric = true;
  static constexpr bool kConst = true;
  using Type = Shape<void>;
};
template <class F>
  requires requires { &F::operator(); }
struct CallableShape<F> : MemberShape<decltype(&F::operator())> {
  static constexpr bool kGeneric = false;
};
template <class R, class... Args>
struct CallableShape<R (*)(Args...)> {
  static constexpr bool kGeneric = false;
  static constexpr bool kConst = true;
  using Type = Shape<R, Args...>;
};
template <class R, class... Args>
struct CallableShape<R (*)(Args...) noexcept> : CallableShape<R (*)(Args...)> {};

// What a user reads when a handler cannot have such an input.
template <class In>
constexpr bool require_input() {
  static_assert(
      !kIsView<In>,
      "wisp: a handler's input has to own its text, which may be kept until it runs: take "
      "const std::string&");
  static_assert(!std::is_same_v<In, Context>,
                "wisp: a handler takes wisp::Context&, which is not const");
  static_assert(!std::is_same_v<In, Payload>,
                "wisp: a handler takes what a payload holds, or a wisp::Event");
  return true;
}

// What a user reads when a handler has a wrong signature.
template <class F>
constexpr bool require_handler() {
  using Callable = CallableShape<F>;
  static_assert(!Callable::kGeneric,
                "wisp: a handler must have one call operator with spelled-out parameters: no auto "
                "parameters, no overloads");
  static_assert(
      Callable::kGeneric || Callable::kConst,
      "wisp: a handler must be callable through const: a mutable lambda would race with itself");
  static_assert(Callable::Type::kGood,
                "wisp: a handler takes nothing, an input by value or const reference, a "
                "wisp::Context&, or both in that "
                "order");
  return require_input<typename Callable::Type::In>();
}

}  // namespace detail
}  // namespace wisp::inline v0
