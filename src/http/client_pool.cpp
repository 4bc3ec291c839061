#include "client_pool.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <iterator>
#include <utility>

namespace wisp::inline v0::http {
namespace {

constexpr Duration kTick = std::chrono::seconds(1);

}  // namespace

Pool::Pool(Reactor& reactor, Clock& clock, const KeepAlive& limits)
    : reactor_(reactor), clock_(clock), limits_(limits) {}

std::unique_ptr<Wire> Pool::take(const std::string& origin) {
  while (std::unique_ptr<Wire> wire = take_last(origin))
    if (wire->quiet()) return wire;
  return nullptr;
}

std::unique_ptr<Wire> Pool::take_last(const std::string& origin) {
  std::unique_ptr<Wire> wire;  // closed without the lock, if it is too old
  const Time now = clock_.now();
  {
    const MutexLock lock(mutex_);
    const auto last = std::find_if(idle_.rbegin(), idle_.rend(),
                                   [&origin](const Idle& each) { return each.origin == origin; });
    if (last == idle_.rend()) return nullptr;
    const bool young = now - last->since <= limits_.idle_time;
    wire = std::move(last->wire);
    idle_.erase(std::next(last).base());
    if (young) return wire;
  }
  // So are all that have waited longer; tick() closes them.
  return nullptr;
}

void Pool::put(const std::string& origin, std::unique_ptr<Wire> wire) {
  if (limits_.connections <= 0 || limits_.per_origin <= 0) return;
  const Time now = clock_.now();
  std::vector<Idle> gone;  // closed without the lock
  bool tick_now = false;
  {
    const MutexLock lock(mutex_);
    const auto same = [&origin](const Idle& each) { return each.origin == origin; };
    auto first = idle_.end();
    if (std::count_if(idle_.begin(), idle_.end(), same) >= limits_.per_origin)
      first = std::find_if(idle_.begin(), idle_.end(), same);
    else if (idle_.size() >= static_cast<std::size_t>(limits_.connections)) first = idle_.begin();
    if (first != idle_.end()) {
      gone.push_back(std::move(*first));
      idle_.erase(first);
    }
    idle_.push_back({origin, now, std::move(wire)});
    tick_now = !std::exchange(ticking_, true);
  }
  if (tick_now) asio::post(reactor_.context(), [this] { tick(); });
}

std::size_t Pool::size() const {
  const MutexLock lock(mutex_);
  return idle_.size();
}

// On the reactor's thread, while there is something to close.
void Pool::tick() {
  if (!timer_) timer_.emplace(reactor_.context());
  timer_->expires_after(kTick);
  timer_->async_wait([this](const boost::system::error_code& stopped) {
    if (!stopped && sweep()) tick();
  });
}

bool Pool::sweep() {
  const Time now = clock_.now();
  std::vector<Idle> gone;
  const MutexLock lock(mutex_);
  const auto first = std::find_if(idle_.begin(), idle_.end(), [this, now](const Idle& each) {
    return now - each.since <= limits_.idle_time;
  });
  gone.assign(std::make_move_iterator(idle_.begin()), std::make_move_iterator(first));
  idle_.erase(idle_.begin(), first);
  ticking_ = !idle_.empty();
  return ticking_;
}

}  // namespace wisp::inline v0::http
