// What waits in a route, one of each key at a time.
//
//   backlog.push(std::move(delivery));
//   while (std::unique_ptr<Shipment> next = backlog.take()) {  // its key is out from now on
//     run(*next);
//     backlog.release(*next);                                  // the next one of it is ready
//   }
//
// A delivery is ready when it has no key, or when it is the first of its key and none of that key
// is out: taken and not released, which a retry's delay does not change. Of those that are ready
// the oldest is taken. So a key that is out holds up nobody but its own, and where only one
// delivery runs at a time all go in the order of acceptance.
//
// In a queue that coalesces, the next delivery of a key takes the place of one that was displaced:
// a key that is published often would else never come to the head of a full queue. In a strict
// backlog, which is a serial route's, it goes to the end, as its publisher sent it last.
//
// Bounded by the owner. A push costs an allocation for a key that nothing else waits under.
//
// Threads: one-at-a-time (the owner's lock). No delivery is destroyed here but by the destructor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <wisp/base/clock.hpp>
#include <wisp/base/status.hpp>
#include <wisp/base/text.hpp>
#include <wisp/engine/meter.hpp>
#include <wisp/model/event.hpp>
#include <wisp/service/detail/rate.hpp>

namespace wisp::inline v0::detail {

struct KeyLine;

// One delivery on its way.
struct Shipment {
  std::shared_ptr<const Event> event;  // shared by an event's deliveries; immutable
  std::size_t bytes = 0;
  int attempts = 0;  // that entered the handler
  Time accepted;
  std::uint64_t accepted_ticks = 0;
  Status error;                            // of the last attempt
  Time due;                                // of the next one
  std::uint64_t delay = 0;                 // number of the delay that it is or was in
  bool token = false;                      // runs under one
  bool alone = false;                      // no other shares its next batch
  bool put_off = false;                    // waits for its budget, not for a retry
  std::uint64_t asked = 0;                 // what Route::asked_ was before that was decided
  Pace::Turns turns;                       // that it has
  std::shared_ptr<const Receipt> receipt;  // so far, where Route::Rules::receipts

  // The backlog's, as is what follows. Those before and after it in a chain.
  struct Link {
    Shipment* before = nullptr;
    Shipment* after = nullptr;
  };
  enum class Where : std::uint8_t { out, fresh, freed, line };
  Where where = Where::out;
  bool back = false;        // waits for another attempt
  std::uint64_t order = 0;  // of its place; unique
  Time since;               // that its place has waited
  KeyLine* line = nullptr;  // of its key, until it is released; null without one
  Link place;               // among the fresh ones, or in its line
  Link age;                 // among all that never began
};

// Deliveries that are linked to each other, not owned.
template <Shipment::Link Shipment::* kLink>
class Chain {
 public:
  bool empty() const { return first_ == nullptr; }
  Shipment* front() const { return first_; }
  Shipment* back() const { return last_; }
  void push_back(Shipment& each) {
    (each.*kLink) = {.before = last_, .after = nullptr};
    (last_ == nullptr ? first_ : (last_->*kLink).after) = &each;
    last_ = &each;
  }
  void erase(Shipment& each) {
    const Shipment::Link link = each.*kLink;
    (link.before == nullptr ? first_ : (link.before->*kLink).after) = link.after;
    (link.after == nullptr ? last_ : (link.after->*kLink).before) = link.before;
  }

 private:
  Shipment* first_ = nullptr;
  Shipment* last_ = nullptr;
};

// Of those that never began.
struct Waiting {
  int count = 0;
  std::size_t bytes = 0;

  void add(const Shipment& each) {
    ++count;
    bytes += each.bytes;
  }
  void remove(const Shipment& each) {
    --count;
    bytes -= each.bytes;
  }
};

// The deliveries of one key: there is a line while one is out or waits, or is to come in the place
// of one that was displaced.
struct KeyLine {
  struct Place {
    std::uint64_t order;
    Time since;
  };
  bool out = false;
  Shipment* ready = nullptr;      // the first, while none is out
  Chain<&Shipment::place> later;  // those behind it
  Waiting waiting{};
  std::optional<Place> kept{};  // of the displaced one that was the last

  Shipment* first() const { return ready != nullptr ? ready : later.front(); }
};

class Backlog {
 public:
  using Each = std::unique_ptr<Shipment>;

  explicit Backlog(bool strict) : strict_(strict) {}
  ~Backlog();
  Backlog(const Backlog&) = delete;
  Backlog& operator=(const Backlog&) = delete;

  void push(Each delivery);
  // The oldest that is ready, or null. Its key is out.
  Each take();
  // What take() would give.
  const Shipment* first() const { return head(); }
  // A delivery that was taken has come to its end.
  void release(Shipment& delivery);
  // It did not, and waits for its next attempt among those that are ready. Its key stays out.
  void put_back(Each delivery);

  // The oldest that never began, or null.
  Each drop_oldest();
  // The same of one key, whose place the next one that is pushed under the key will have.
  Each displace(std::string_view key);
  // None is to come for the place of a displaced one.
  void give_place_up(std::string_view key);
  // All that waits, the oldest first.
  std::vector<Each> take_all();

  // How many take() would give in a row, were none released.
  std::size_t ready() const { return ready_; }
  // Those that never began, all or of one key.
  const Waiting& waiting() const { return waiting_; }
  Waiting waiting(std::string_view key) const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return hash_text(text); }
  };

  Shipment* head() const;
  void make_ready(Shipment& each);
  void unready(Shipment& each);
  Each remove(Shipment& each, bool keep_place);
  // The first one behind comes up, if none is out.
  void advance(KeyLine& line);
  void close_if_empty(const std::string& key, const KeyLine& line);

  const bool strict_;
  std::uint64_t orders_ = 0;
  std::size_t ready_ = 0;
  Waiting waiting_;
  Chain<&Shipment::age> age_;
  // Those that are ready, by their order: the chain holds those that came in order.
  Chain<&Shipment::place> fresh_;
  std::map<std::uint64_t, Shipment*> freed_;
  // Nodes stay where they are.
  std::unordered_map<std::string, KeyLine, Hash, std::equal_to<>> lines_;
};

}  // namespace wisp::inline v0::detail
