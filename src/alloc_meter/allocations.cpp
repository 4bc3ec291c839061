// The replaced operators. All of them, for a sanitizer's default ones do not come here.
#include <wisp/alloc_meter/allocations.hpp>

#include <cstdlib>
#include <new>

#include <wisp/base/config.hpp>

namespace wisp::inline v0 {

Allocations allocations() { return detail::thread_allocations; }

namespace detail {

const bool alloc_meter_linked = true;

namespace {

void note(std::size_t size) {
  ++thread_allocations.count;
  thread_allocations.bytes += size;
}

void* reserve(std::size_t size) { return std::malloc(size == 0 ? 1 : size); }
// aligned_alloc would want the size to be a multiple of the alignment.
void* reserve(std::size_t size, std::size_t alignment) {
  void* memory = nullptr;
  const std::size_t align = alignment < sizeof(void*) ? sizeof(void*) : alignment;
  return posix_memalign(&memory, align, size == 0 ? 1 : size) == 0 ? memory : nullptr;
}

// Null once no handler is left that might free something. A handler may throw.
template <class... Alignment>
void* allocate(std::size_t size, Alignment... alignment) {
  void* memory = reserve(size, static_cast<std::size_t>(alignment)...);
  while (memory == nullptr) [[unlikely]] {
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) return nullptr;
    handler();
    memory = reserve(size, static_cast<std::size_t>(alignment)...);
  }
  note(size);
  return memory;
}

template <class... Alignment>
void* allocate_or_throw(std::size_t size, Alignment... alignment) {
  if (void* const memory = allocate(size, alignment...)) [[likely]]
    return memory;
#if WISP_EXCEPTIONS
  throw std::bad_alloc();
#else
  std::abort();
#endif
}

template <class... Alignment>
void* allocate_or_null(std::size_t size, Alignment... alignment) noexcept {
#if WISP_EXCEPTIONS
  try {
    return allocate(size, alignment...);
  } catch (...) {
    return nullptr;
  }
#else
  return allocate(size, alignment...);
#endif
}

}  // namespace
}  // namespace detail
}  // namespace wisp::inline v0

using Align = std::align_val_t;
using Size = std::size_t;
using Nothrow = const std::nothrow_t&;
using wisp::detail::allocate_or_null;
using wisp::detail::allocate_or_throw;

// Not inlined, or g++ takes one of a pair for its own and the other for a mismatch.

[[gnu::noinline]] void* operator new(Size size) { return allocate_or_throw(size); }
[[gnu::noinline]] void* operator new[](Size size) { return allocate_or_throw(size); }
[[gnu::noinline]] void* operator new(Size size, Align a) { return allocate_or_throw(size, a); }
[[gnu::noinline]] void* operator new[](Size size, Align a) { return allocate_or_throw(size, a); }
[[gnu::noinline]] void* operator new(Size size, Nothrow) noexcept { return allocate_or_null(size); }
[[gnu::noinline]] void* operator new[](Size size, Nothrow) noexcept {
  return allocate_or_null(size);
}
[[gnu::noinline]] void* operator new(Size size, Align a, Nothrow) noexcept {
  return allocate_or_null(size, a);
}
[[gnu::noinline]] void* operator new[](Size size, Align a, Nothrow) noexcept {
  return allocate_or_null(size, a);
}

[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, Size) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, Size) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, Align) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, Align) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, Size, Align) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, Size, Align) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, Nothrow) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, Nothrow) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, Align, Nothrow) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, Align, Nothrow) noexcept {
  std::free(memory);
}
