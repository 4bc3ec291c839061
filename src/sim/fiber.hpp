// A fiber: a stack of its own on the thread that made it, and all that C++ and wisp keep for a
// thread. Exactly one of a thread's runs; it says itself who goes on.
//
// By POSIX's contexts, which work on every machine that glibc knows: a switch costs a system call
// for the signal mask, a fraction of a microsecond. The sanitizers are told of each switch.
//
// Threads: all of a world's fibers belong to one.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <memory>
#include <string_view>

#include <wisp/base/callable.hpp>
#include <wisp/base/status.hpp>
#include <wisp/service/detail/thread_locals.hpp>

namespace wisp::inline v0::sim {

class Fiber {
 public:
  // Of the code that calls.
  Fiber();
  // One that runs `body` once it is switched to, on the thread that does. kUnavailable if there is
  // no memory for its stack. Requires: whole pages.
  using Body = InlineFunction<void(), 48>;
  static Result<std::unique_ptr<Fiber>> make(std::size_t stack_bytes, Body body);
  // Whatever its stack still holds is never destroyed. Requires: it does not run.
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // `next` goes on; returns once somebody switches back. Requires: this one runs, `next` has not
  // ended.
  void switch_to(Fiber& next);
  // The last act of a body.
  [[noreturn]] void end_with(Fiber& next);

  // Of the innermost handler; empty: inside of none.
  std::string_view function() const;

 private:
  // What C++ keeps of exceptions that are being handled (Itanium C++ ABI, __cxa_eh_globals).
  struct Exceptions {
    void* caught;
    unsigned uncaught;
  };

  Fiber(std::size_t stack_bytes, Body body);
  void prepare();
  static void enter(unsigned high, unsigned low);
  void leave(Fiber& next, bool for_ever);
  void arrive();

  ucontext_t context_{};
  Body body_;
  std::byte* memory_ = nullptr;  // what nobody may touch, then the stack
  bool prepared_ = false;
  wisp::detail::ThreadLocals locals_;
  Exceptions exceptions_{};
  int errno_ = 0;
  bool runs_ = false;
  const void* stack_ = nullptr;  // of who is no fiber, as the address sanitizer has it
  std::size_t stack_bytes_ = 0;
  void* fake_stack_ = nullptr;  // the address sanitizer's
  void* thread_sanitizer_ = nullptr;
};

}  // namespace wisp::inline v0::sim
