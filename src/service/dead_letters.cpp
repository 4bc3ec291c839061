#include <wisp/service/dead_letters.hpp>

#include <algorithm>
#include <utility>

namespace wisp::inline v0 {

std::vector<DeadLetter> DeadLetters::list() const {
  const MutexLock lock(mutex_);
  std::vector<DeadLetter> all;
  all.reserve(letters_.size());
  for (const Entry& each : letters_) all.push_back(each.letter);
  return all;
}

std::size_t DeadLetters::size() const {
  const MutexLock lock(mutex_);
  return letters_.size();
}

std::uint64_t DeadLetters::forgotten() const {
  const MutexLock lock(mutex_);
  return forgotten_;
}

void DeadLetters::clear() {
  std::deque<Entry> gone;  // destroyed outside of the lock
  const MutexLock lock(mutex_);
  gone.swap(letters_);
}

int DeadLetters::redrive(int count) {
  int accepted = 0;
  std::vector<Entry> refused;
  // Each letter once: what fails again meanwhile comes back behind those that are here now.
  for (std::size_t left = size(); left > 0 && accepted < count; --left) {
    Entry entry;
    std::optional<detail::Rate::Turn> turn;
    {
      const MutexLock lock(mutex_);
      if (letters_.empty() || !(turn = rate_.try_take(clock_.now()))) break;
      entry = std::move(letters_.front());
      letters_.pop_front();
    }
    if (entry.again(entry.letter.event).ok()) {
      ++accepted;
    } else {
      rate_.give_back(*turn);
      refused.push_back(std::move(entry));
    }
  }
  const MutexLock lock(mutex_);
  for (auto each = refused.rbegin(); each != refused.rend(); ++each) {
    // Newer ones took the room: the oldest is forgotten, as in add().
    if (letters_.size() >= kLettersMax) {
      forgotten_ += static_cast<std::uint64_t>(refused.rend() - each);
      break;
    }
    letters_.push_front(std::move(*each));
  }
  return accepted;
}

void DeadLetters::add(DeadLetter letter, Again again) {
  Entry oldest;  // destroyed outside of the lock
  const MutexLock lock(mutex_);
  if (letters_.size() >= kLettersMax) {
    oldest = std::move(letters_.front());
    letters_.pop_front();
    ++forgotten_;
  }
  letters_.push_back({std::move(letter), std::move(again)});
}

}  // namespace wisp::inline v0
