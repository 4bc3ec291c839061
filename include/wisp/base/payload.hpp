// One value, shared and immutable: however many subscriptions receive an event, its value is stored
// once.
//
//   wisp::Payload payload = wisp::Payload::of(Order{"4711", 120.0, "PT"});
//   const Order* order = payload.as<Order>();        // null if it holds another type
//
// Threads: value; copies share the value, whose const access must be safe concurrently.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <wisp/base/fields.hpp>

namespace wisp::inline v0 {

namespace detail {

// Text of somebody else's.
template <class T>
inline constexpr bool kIsView = std::is_same_v<T, std::string_view> ||
                                std::is_same_v<T, const char*> || std::is_same_v<T, char*>;

// What a given argument is stored as: decayed, and a view of text as std::string.
template <class T>
using stored_t = std::conditional_t<kIsView<std::decay_t<T>>, std::string, std::decay_t<T>>;

struct PayloadBlock {
  explicit PayloadBlock(const TypeInfo& t) : type(&t) {}
  std::atomic<int> references{1};
  const TypeInfo* type;
  void* value = nullptr;
  void (*free)(PayloadBlock*) = nullptr;
};

}  // namespace detail

class Payload {
 public:
  // Holds nothing: the input of a function without one.
  Payload() = default;

  // One allocation.
  template <class T>
  static Payload of(T&& value) {
    using Stored = detail::stored_t<T>;
    struct Block : detail::PayloadBlock {
      explicit Block(T&& v) : PayloadBlock(type_info<Stored>()), stored(std::forward<T>(v)) {
        value = &stored;
      }
      Stored stored;
    };
    auto* block = new Block(std::forward<T>(value));
    block->free = [](detail::PayloadBlock* b) { delete static_cast<Block*>(b); };
    return Payload(block);
  }

  Payload(const Payload& other) : block_(other.block_) {
    if (block_ != nullptr) block_->references.fetch_add(1, std::memory_order_relaxed);
  }
  Payload(Payload&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  Payload& operator=(Payload other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~Payload() {
    // acq_rel: the last one sees what the others did with the value before it frees it.
    if (block_ != nullptr && block_->references.fetch_sub(1, std::memory_order_acq_rel) == 1)
      block_->free(block_);
  }

  bool empty() const { return block_ == nullptr; }

  // Null when empty.
  const TypeInfo* type() const { return block_ == nullptr ? nullptr : block_->type; }
  const void* data() const { return block_ == nullptr ? nullptr : block_->value; }

  // The value, or null if it is of another type.
  template <class T>
  const T* as() const {
    return holds(type_info<T>()) ? static_cast<const T*>(block_->value) : nullptr;
  }
  bool holds(const TypeInfo& type) const {
    return block_ != nullptr && same_type(*block_->type, type);
  }

  // Size of the value and of the text in its fields; what containers hold besides is not counted.
  std::size_t bytes() const { return block_ == nullptr ? 0 : block_->type->bytes(block_->value); }

 private:
  explicit Payload(detail::PayloadBlock* block) : block_(block) {}
  detail::PayloadBlock* block_ = nullptr;
};

namespace detail {

// What a verb was given to send, which becomes a Payload only if somebody needs it beyond the verb.
struct Given {
  const TypeInfo* type = nullptr;  // null: nothing
  const void* data = nullptr;
  Payload (*keep)(const void* data) = nullptr;
  std::size_t flat = 0;  // its size if a copy of its bytes is a copy of it, words aligned; else 0

  // Of `value`, which has to outlive this.
  template <class T>
  static Given of(const T& value) {
    constexpr bool flat = std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T> &&
                          alignof(T) <= alignof(std::uint64_t);
    return {&type_info<T>(), &value,
            [](const void* data) { return Payload::of(*static_cast<const T*>(data)); },
            flat ? sizeof(T) : 0};
  }
};

}  // namespace detail
}  // namespace wisp::inline v0
