#include "fiber.hpp"

#include <cxxabi.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

// Null in a program without that sanitizer, whatever this file was compiled with.
extern "C" {
[[gnu::weak]] void __sanitizer_start_switch_fiber(void** fake_stack, const void* stack,
                                                  std::size_t bytes);
[[gnu::weak]] void __sanitizer_finish_switch_fiber(void* fake_stack, const void** old_stack,
                                                   std::size_t* old_bytes);
[[gnu::weak]] void __lsan_register_root_region(const void* begin, std::size_t bytes);
[[gnu::weak]] void __lsan_unregister_root_region(const void* begin, std::size_t bytes);
[[gnu::weak]] void* __tsan_get_current_fiber();
[[gnu::weak]] void* __tsan_create_fiber(unsigned flags);
[[gnu::weak]] void __tsan_destroy_fiber(void* fiber);
[[gnu::weak]] void __tsan_switch_to_fiber(void* fiber, unsigned flags);
}

namespace wisp::inline v0::sim {
namespace {

// Below a stack, so that no frame of a usual size steps over it.
constexpr std::size_t kGuardBytes = std::size_t{1} << 16U;

// Of the calling thread: who switched last.
constinit thread_local Fiber* from = nullptr;

}  // namespace

Fiber::Fiber() : prepared_(true), locals_(nullptr), runs_(true) {
  if (__tsan_get_current_fiber != nullptr) thread_sanitizer_ = __tsan_get_current_fiber();
}

Fiber::Fiber(std::size_t stack_bytes, Body body)
    : body_(std::move(body)), locals_(this), stack_bytes_(stack_bytes) {}

Result<std::unique_ptr<Fiber>> Fiber::make(std::size_t stack_bytes, Body body) {
  std::unique_ptr<Fiber> made(new Fiber(stack_bytes, std::move(body)));
  void* const memory = mmap(nullptr, kGuardBytes + stack_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory != MAP_FAILED) made->memory_ = static_cast<std::byte*>(memory);
  if (memory == MAP_FAILED || mprotect(memory, kGuardBytes, PROT_NONE) != 0) {
    return unavailable("no stack of {} bytes for a simulated thread: {}", stack_bytes,
                       std::strerror(errno));
  }
  made->stack_ = made->memory_ + kGuardBytes;
  if (__lsan_register_root_region != nullptr)
    __lsan_register_root_region(made->stack_, stack_bytes);
  if (__tsan_create_fiber != nullptr) made->thread_sanitizer_ = __tsan_create_fiber(0);
  return made;
}

Fiber::~Fiber() {
  if (memory_ == nullptr) return;
  if (thread_sanitizer_ != nullptr) __tsan_destroy_fiber(thread_sanitizer_);
  if (stack_ != nullptr && __lsan_unregister_root_region != nullptr)
    __lsan_unregister_root_region(stack_, stack_bytes_);
  munmap(memory_, kGuardBytes + stack_bytes_);
}

// On the thread that it will run on, whose signal mask it gets.
void Fiber::prepare() {
  prepared_ = true;
  getcontext(&context_);
  context_.uc_stack.ss_sp = memory_ + kGuardBytes;
  context_.uc_stack.ss_size = stack_bytes_;
  context_.uc_link = nullptr;
  // Its arguments are ints.
  const std::uint64_t self = reinterpret_cast<std::uintptr_t>(this);
  makecontext(&context_, reinterpret_cast<void (*)()>(&enter), 2, static_cast<unsigned>(self >> 32),
              static_cast<unsigned>(self));
}

void Fiber::enter(unsigned high, unsigned low) {
  const std::uint64_t word = std::uint64_t{high} << 32U | low;
  auto* const self = reinterpret_cast<Fiber*>(static_cast<std::uintptr_t>(word));
  self->arrive();
  self->body_();
  std::abort();  // a body ends with end_with()
}

void Fiber::switch_to(Fiber& next) { leave(next, false); }

void Fiber::end_with(Fiber& next) {
  leave(next, true);
  std::abort();
}

std::string_view Fiber::function() const {
  if (!runs_) return locals_.function();
  const wisp::detail::ActiveFrame* const frame = wisp::detail::ActiveFrame::top();
  return frame == nullptr ? std::string_view() : frame->function;
}

void Fiber::leave(Fiber& next, bool for_ever) {
  if (!next.prepared_) next.prepare();
  runs_ = false;
  locals_.swap();
  std::memcpy(&exceptions_, abi::__cxa_get_globals(), sizeof(exceptions_));
  errno_ = errno;
  from = this;
  if (__sanitizer_start_switch_fiber != nullptr) {
    __sanitizer_start_switch_fiber(for_ever ? nullptr : &fake_stack_, next.stack_,
                                   next.stack_bytes_);
  }
  if (__tsan_switch_to_fiber != nullptr) __tsan_switch_to_fiber(next.thread_sanitizer_, 0);
  swapcontext(&context_, &next.context_);
  arrive();
}

void Fiber::arrive() {
  if (__sanitizer_finish_switch_fiber != nullptr)
    __sanitizer_finish_switch_fiber(fake_stack_, &from->stack_, &from->stack_bytes_);
  errno = errno_;
  std::memcpy(abi::__cxa_get_globals(), &exceptions_, sizeof(exceptions_));
  locals_.swap();
  runs_ = true;
}

}  // namespace wisp::inline v0::sim
