#include <wisp/service/detail/backlog.hpp>

#include <algorithm>
#include <utility>

namespace wisp::inline v0::detail {

Backlog::~Backlog() { take_all(); }

void Backlog::make_ready(Shipment& each) {
  if (fresh_.empty() || fresh_.back()->order < each.order) {
    each.where = Shipment::Where::fresh;
    fresh_.push_back(each);
  } else {
    each.where = Shipment::Where::freed;
    freed_.emplace(each.order, &each);
  }
  ++ready_;
}

void Backlog::unready(Shipment& each) {
  if (each.where == Shipment::Where::fresh) fresh_.erase(each);
  else freed_.erase(each.order);
  --ready_;
}

void Backlog::push(Each delivery) {
  const std::string& key = delivery->event->key;
  KeyLine* const line = key.empty() ? nullptr : &lines_[key];
  Shipment& each = *delivery.release();
  each.order = ++orders_;
  each.since = each.accepted;
  age_.push_back(each);
  waiting_.add(each);
  if (line == nullptr) return make_ready(each);
  each.line = line;
  line->waiting.add(each);
  if (line->kept) {
    each.order = line->kept->order;
    each.since = line->kept->since;
    line->kept.reset();
  }
  each.where = Shipment::Where::line;
  line->later.push_back(each);
  advance(*line);
}

Shipment* Backlog::head() const {
  Shipment* const fresh = fresh_.front();
  if (freed_.empty()) return fresh;
  Shipment* const freed = freed_.begin()->second;
  return fresh == nullptr || freed->order < fresh->order ? freed : fresh;
}

Backlog::Each Backlog::take() {
  Shipment* const each = head();
  if (each == nullptr) return nullptr;
  unready(*each);
  each->where = Shipment::Where::out;
  if (std::exchange(each->back, false)) return Each(each);
  age_.erase(*each);
  waiting_.remove(*each);
  if (KeyLine* const line = each->line) {
    line->waiting.remove(*each);
    line->ready = nullptr;
    line->out = true;
  }
  return Each(each);
}

void Backlog::release(Shipment& delivery) {
  KeyLine* const line = std::exchange(delivery.line, nullptr);
  if (line == nullptr) return;
  line->out = false;
  advance(*line);
  close_if_empty(delivery.event->key, *line);
}

void Backlog::put_back(Each delivery) {
  delivery->back = true;
  make_ready(*delivery.release());
}

void Backlog::advance(KeyLine& line) {
  Shipment* const next = line.later.front();
  if (line.out || line.ready != nullptr || next == nullptr) return;
  line.later.erase(*next);
  line.ready = next;
  make_ready(*next);
}

void Backlog::close_if_empty(const std::string& key, const KeyLine& line) {
  if (!line.out && line.first() == nullptr && !line.kept) lines_.erase(lines_.find(key));
}

// Requires: the first of its key, and never begun.
Backlog::Each Backlog::remove(Shipment& each, bool keep_place) {
  age_.erase(each);
  waiting_.remove(each);
  KeyLine* const line = std::exchange(each.line, nullptr);
  if (each.where == Shipment::Where::line) line->later.erase(each);
  else unready(each);
  each.where = Shipment::Where::out;
  if (line == nullptr) return Each(&each);
  line->waiting.remove(each);
  if (line->ready == &each) line->ready = nullptr;
  Shipment* const next = line->first();
  if (keep_place && next == nullptr) {
    line->kept = {each.order, each.since};
  } else if (keep_place) {
    next->order = each.order;
    next->since = each.since;
  }
  advance(*line);
  close_if_empty(each.event->key, *line);
  return Each(&each);
}

Backlog::Each Backlog::drop_oldest() {
  return age_.empty() ? nullptr : remove(*age_.front(), false);
}

Backlog::Each Backlog::displace(std::string_view key) {
  const auto found = lines_.find(key);
  Shipment* const first = found == lines_.end() ? nullptr : found->second.first();
  return first == nullptr ? nullptr : remove(*first, !strict_);
}

void Backlog::give_place_up(std::string_view key) {
  const auto found = lines_.find(key);
  if (found == lines_.end()) return;
  found->second.kept.reset();
  close_if_empty(found->first, found->second);
}

Waiting Backlog::waiting(std::string_view key) const {
  const auto found = lines_.find(key);
  return found == lines_.end() ? Waiting() : found->second.waiting;
}

std::vector<Backlog::Each> Backlog::take_all() {
  std::vector<Each> all;
  // What is back has its key out, and the oldest of all others is the first of its key.
  while (!age_.empty()) all.push_back(drop_oldest());
  while (ready_ > 0) all.push_back(take());
  for (const Each& each : all) release(*each);
  std::sort(all.begin(), all.end(),
            [](const Each& a, const Each& b) { return a->order < b->order; });
  return all;
}

}  // namespace wisp::inline v0::detail
