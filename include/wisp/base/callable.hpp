// A move-only callable that never allocates: what does not fit inside is refused at compile time,
// or boxed by its owner.
//
//   wisp::InlineFunction<void(int), 32> f = [this](int n) { count_ += n; };
//   f(3);
//   f = wisp::boxed([big = std::array<int, 100>{}](int) { ... });   // one allocation, asked for
//
// Threads: one-at-a-time.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace wisp::inline v0 {

template <class Signature, std::size_t Size>
class InlineFunction;

template <class R, class... Args, std::size_t Size>
class InlineFunction<R(Args...), Size> {
 public:
  InlineFunction() = default;

  template <class F>
    requires(!std::same_as<std::decay_t<F>, InlineFunction> &&
             std::is_invocable_r_v<R, std::decay_t<F>&, Args...>)
  InlineFunction(F&& callable) {  // NOLINT(google-explicit-constructor): a lambda is the argument
    using Callable = std::decay_t<F>;
    static_assert(sizeof(Callable) <= Size,
                  "wisp: this callable is larger than the inline size: capture less, or wrap it in "
                  "wisp::boxed(...)");
    static_assert(alignof(Callable) <= alignof(std::max_align_t),
                  "wisp: this callable is over-aligned: use wisp::boxed(...)");
    static_assert(std::is_nothrow_move_constructible_v<Callable>,
                  "wisp: moving this callable may throw: use wisp::boxed(...)");
    ::new (static_cast<void*>(storage_)) Callable(std::forward<F>(callable));
    ops_ = &kOps<Callable>;
  }

  InlineFunction(InlineFunction&& other) noexcept { take(other); }
  InlineFunction& operator=(InlineFunction&& other) noexcept {
    if (this != &other) {
      reset();
      take(other);
    }
    return *this;
  }
  ~InlineFunction() { reset(); }

  explicit operator bool() const { return ops_ != nullptr; }

  // Requires: not empty.
  R operator()(Args... arguments) {
    return ops_->invoke(storage_, std::forward<Args>(arguments)...);
  }

  // Destroys what it holds.
  void reset() {
    if (ops_ != nullptr) std::exchange(ops_, nullptr)->destroy(storage_);
  }

 private:
  // What an executor needs to store the callable's bytes anywhere.
  struct Ops {
    R (*invoke)(void*, Args...);
    void (*relocate)(void* from, void* to);  // moves to `to` and destroys at `from`
    void (*destroy)(void*);
  };

  template <class F>
  static R invoke(void* object, Args... arguments) {
    if constexpr (std::is_void_v<R>) (*static_cast<F*>(object))(std::forward<Args>(arguments)...);
    else return (*static_cast<F*>(object))(std::forward<Args>(arguments)...);
  }
  template <class F>
  static void relocate(void* from, void* to) {
    if constexpr (std::is_trivially_copyable_v<F>) {
      std::memcpy(to, from, sizeof(F));
    } else {
      ::new (to) F(std::move(*static_cast<F*>(from)));
      static_cast<F*>(from)->~F();
    }
  }
  template <class F>
  static void destroy(void* object) {
    static_cast<F*>(object)->~F();
  }
  template <class F>
  static constexpr Ops kOps{&invoke<F>, &relocate<F>, &destroy<F>};

  void take(InlineFunction& other) {
    ops_ = std::exchange(other.ops_, nullptr);
    if (ops_ != nullptr) ops_->relocate(other.storage_, storage_);
  }

  const Ops* ops_ = nullptr;
  alignas(std::max_align_t) std::byte storage_[Size];
};

namespace detail {
template <class F>
struct Boxed {
  std::unique_ptr<F> callable;
  template <class... Args>
  decltype(auto) operator()(Args&&... arguments) {
    return (*callable)(std::forward<Args>(arguments)...);
  }
};
}  // namespace detail

// The same callable on the heap, behind one pointer: fits every InlineFunction.
template <class F>
auto boxed(F&& callable) {
  return detail::Boxed<std::decay_t<F>>{
      std::make_unique<std::decay_t<F>>(std::forward<F>(callable))};
}

}  // namespace wisp::inline v0
