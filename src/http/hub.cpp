#include "hub.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

namespace wisp::inline v0::http {
namespace {

constexpr std::size_t kStreamPiece = 16'384;

// A client that has missed `count` events; nullopt: nobody can say how many.
void add_lost(std::optional<std::uint64_t> count, std::string& to) {
  to += "event: lost\ndata: {\"events\":";
  to += count ? std::to_string(*count) : "null";
  to += "}\n\n";
}

}  // namespace

class Hub::Follower final : public Stream {
 public:
  Follower(std::shared_ptr<Hub> hub, Place place)
      : hub_(std::move(hub)),
        next_(place.next),
        unknown_(place.unknown),
        begun_(hub_->clock_.now()),
        said_(begun_) {
    hub_->counts_.followers++;
  }
  ~Follower() override { hub_->counts_.followers--; }
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

  Next next(std::string& to) override {
    if (drained_ || hub_->clock_.now() - begun_ > kFollowMax) return Next::end;
    const std::size_t before = to.size();
    // At once, so that the client knows that it is connected.
    if (!std::exchange(greeted_, true)) to += ":\n\n";
    if (std::exchange(unknown_, false)) add_lost(std::nullopt, to);
    const bool all = take(to);
    if (torn_) return Next::broken;
    const Time now = hub_->clock_.now();
    if (to.size() == before && now - said_ >= kHeartbeat) to += ":\n\n";
    if (to.size() == before) return Next::wait;
    said_ = now;
    return all ? Next::wait : Next::more;
  }

  void drain() override { drained_ = true; }

 private:
  // Whether that is all there is.
  bool take(std::string& to) {
    const MutexLock lock(hub_->mutex_);
    const std::uint64_t first = hub_->next_ - hub_->kept_.size();
    if (next_ < first) {
      // Of the event that it is in the middle of the rest is gone.
      torn_ = within_ > 0;
      if (torn_) return true;
      hub_->counts_.lost += first - next_;
      add_lost(first - next_, to);
      next_ = first;
    }
    const std::size_t enough = to.size() + kStreamPiece;
    while (next_ < hub_->next_ && to.size() < enough) {
      const std::string_view event = hub_->kept_[next_ - first];
      const std::string_view piece = event.substr(within_, enough - to.size());
      to += piece;
      within_ += piece.size();
      if (within_ < event.size()) break;
      within_ = 0;
      ++next_;
    }
    return next_ == hub_->next_;
  }

  const std::shared_ptr<Hub> hub_;
  std::uint64_t next_;
  std::size_t within_ = 0;  // bytes of that event that were given out
  bool torn_ = false;
  bool unknown_;
  bool greeted_ = false;
  bool drained_ = false;
  const Time begun_;
  Time said_;
};

Hub::Hub(const HubLimits& limits, Clock& clock, std::uint64_t epoch, HubCounts& counts)
    : limits_(limits), clock_(clock), epoch_(fmt::format("{:x}", epoch)), counts_(counts) {}

void Hub::publish(std::string_view json) {
  std::vector<std::shared_ptr<Wake>> wakes;
  {
    const MutexLock lock(mutex_);
    kept_.push_back(fmt::format("id: {}-{}\ndata: {}\n\n", epoch_, next_++, json));
    bytes_ += kept_.back().size();
    // One that is longer than all may be goes at once, and is missed by all.
    for (; kept_.size() > limits_.events || bytes_ > limits_.bytes; kept_.pop_front())
      bytes_ -= kept_.front().size();
    wakes = wakes_;
  }
  counts_.events++;
  for (const std::shared_ptr<Wake>& each : wakes) each->wake();
}

Hub::Place Hub::place_of(std::string_view id) {
  const std::size_t dash = id.find('-');
  std::uint64_t last = 0;
  const char* const end = id.data() + id.size();
  if (dash == id.npos || id.substr(0, dash) != epoch_) return {.next = next_, .unknown = true};
  const auto [to, error] = std::from_chars(id.data() + dash + 1, end, last);
  if (error != std::errc() || to != end || last == 0 || last >= next_)
    return {.next = next_, .unknown = true};
  return {.next = last + 1};
}

std::shared_ptr<Stream> Hub::follow(std::optional<std::string_view> last_id,
                                    std::shared_ptr<Wake> wake) {
  Place place;
  {
    const MutexLock lock(mutex_);
    place = last_id && !last_id->empty() ? place_of(*last_id) : Place{.next = next_};
    if (std::find(wakes_.begin(), wakes_.end(), wake) == wakes_.end())
      wakes_.push_back(std::move(wake));
  }
  return std::make_shared<Follower>(shared_from_this(), place);
}

}  // namespace wisp::inline v0::http
