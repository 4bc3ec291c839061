// Several deliveries of a subscription at once.
//
//   auto stored = runtime.on("orders.*")
//       .deliver({.batch = {.size = 500, .window = 2s}})
//       .to([](const wisp::Batch<Order>& orders) -> wisp::Result<wisp::Failed> {
//         wisp::Failed failed;
//         for (std::size_t i = 0; i < orders.size(); ++i)
//           if (const wisp::Status s = store(orders[i]); !s.ok()) failed.add(i, s);
//         return failed;
//       });
//
// A handler that returns void or Status handles all or nothing. What it lists as failed comes back
// alone, with its attempt counted and under its own retry rule; the others are done. Where it fails
// as a whole (an error, a throw, a timeout), the halves are tried at once, each as a batch of its
// own, and so on down to single deliveries: only then is it a failed attempt, of that one. But an
// error that asks for a wait (with_retry_after) and that a retry may mend is a failed attempt of
// all. A handler has to bear to see an item again.
//
// Within a handler of a batch, what it sends has the oldest event for its cause, the most hops of
// all, and the tenant and tag that all have in common; context.attempt() is the highest.
//
// Threads: value; a Batch lives, and is any's, while its handler runs.
#pragma once

#include <compare>
#include <cstddef>
#include <iterator>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <wisp/base/status.hpp>
#include <wisp/model/event.hpp>

namespace wisp::inline v0 {

// What of a batch could not be handled. An index that is none of the batch fails it as a whole,
// with kInvalidArgument; of one that is listed twice the first error stands.
struct Failed {
  struct Item {
    std::size_t index;
    Status error;  // says as ever whether another attempt can mend it; ok is kUnavailable
  };
  std::vector<Item> items{};

  void add(std::size_t index, Status error = Status()) {
    items.push_back({index, std::move(error)});
  }
};

namespace detail {

class BatchItems {
 public:
  explicit BatchItems(std::span<const Event* const> events) : events_(events) {}

  std::size_t size() const { return events_.size(); }
  bool empty() const { return events_.empty(); }
  // Requires, as operator[]: index < size().
  const Event& event(std::size_t index) const { return *events_[index]; }

 private:
  std::span<const Event* const> events_;
};

}  // namespace detail

// The payloads, by reference, the oldest first; a Batch<Event> has whatever was published.
template <class T>
class Batch : public detail::BatchItems {
 public:
  using Item = T;
  class Iterator;

  explicit Batch(std::span<const Event* const> events) : BatchItems(events) {}
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  const T& operator[](std::size_t index) const {
    if constexpr (std::is_same_v<T, Event>) return event(index);
    else return *static_cast<const T*>(event(index).payload.data());
  }
  Iterator begin() const { return Iterator(*this, 0); }
  Iterator end() const { return Iterator(*this, static_cast<std::ptrdiff_t>(size())); }
};

template <class T>
class Batch<T>::Iterator {
 public:
  using iterator_category = std::random_access_iterator_tag;
  using value_type = T;
  using difference_type = std::ptrdiff_t;
  using pointer = const T*;
  using reference = const T&;

  Iterator() = default;
  Iterator(const Batch& batch, std::ptrdiff_t at) : batch_(&batch), at_(at) {}

  reference operator*() const { return (*batch_)[static_cast<std::size_t>(at_)]; }
  pointer operator->() const { return std::addressof(**this); }
  reference operator[](difference_type n) const { return *(*this + n); }
  Iterator& operator++() { return *this += 1; }
  Iterator& operator--() { return *this += -1; }
  Iterator operator++(int) { return std::exchange(*this, *this + 1); }
  Iterator operator--(int) { return std::exchange(*this, *this - 1); }
  Iterator& operator+=(difference_type n) {
    at_ += n;
    return *this;
  }
  Iterator& operator-=(difference_type n) { return *this += -n; }
  friend Iterator operator+(Iterator i, difference_type n) { return i += n; }
  friend Iterator operator+(difference_type n, Iterator i) { return i += n; }
  friend Iterator operator-(Iterator i, difference_type n) { return i -= n; }
  friend difference_type operator-(const Iterator& a, const Iterator& b) { return a.at_ - b.at_; }
  friend bool operator==(const Iterator& a, const Iterator& b) { return a.at_ == b.at_; }
  friend auto operator<=>(const Iterator& a, const Iterator& b) { return a.at_ <=> b.at_; }

 private:
  const Batch* batch_ = nullptr;
  std::ptrdiff_t at_ = 0;
};

}  // namespace wisp::inline v0
