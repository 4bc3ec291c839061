// Values by topic pattern.
//
//   wisp::TopicIndex<int> index;
//   index.add(*wisp::TopicPattern::parse("orders.*"), 7);
//   for (int each : wisp::TopicIndex<int>::Match(index, "orders.4711")) use(each);
//
// What matches a topic is worked out once and kept by topic, so that a match costs one look-up,
// takes no lock and writes nothing that another thread reads; a thread remembers those that it met
// last. A change drops the lists that it concerns. Topics that nobody subscribed to by name are
// kept too, at most kTopicsKept of them: beyond that all of those are dropped. A match of a topic
// that is not kept takes the mutex and tries the wildcards one by one.
//
// A removed value stays only as long as the matches that began before, one list for each.
//
// Threads: any. Values are copied under a mutex and must not come back here meanwhile; they are
// destroyed outside of it, by whoever changes the index or ends a match.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/inlined_vector.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <wisp/base/mutex.hpp>
#include <wisp/base/readers.hpp>
#include <wisp/base/text.hpp>
#include <wisp/model/pattern.hpp>

namespace wisp::inline v0 {

// A List may know more of its values than a vector does; they are added one by one. A few small
// values lie within theirs, one place in memory fewer to look at.
template <class T, class ListOf = absl::InlinedVector<T, std::max<std::size_t>(1, 16 / sizeof(T))>>
class TopicIndex {
 public:
  static constexpr std::size_t kTopicsKept = 4096;

  TopicIndex() = default;
  ~TopicIndex() {
    if (Table* const table = table_.load(std::memory_order_relaxed)) {
      for (Node* each : nodes(*table)) delete each;
      delete table;
    }
  }
  TopicIndex(const TopicIndex&) = delete;
  TopicIndex& operator=(const TopicIndex&) = delete;

  void add(const TopicPattern& pattern, T value) {
    std::vector<Doomed> doomed;  // ends after the lock
    const MutexLock lock(mutex_);
    auto& list = pattern.exact() ? exact_[pattern.text()] : wild_;
    list.push_back({++count_, pattern, std::move(value)});
    changed(pattern, doomed);
  }

  // The first one added that is equal, if there is one.
  void remove(const TopicPattern& pattern, const T& value) {
    std::vector<Doomed> doomed;  // ends after the lock
    const MutexLock lock(mutex_);
    const auto drop = [&](std::vector<Entry>& list) {
      const auto found = std::find_if(list.begin(), list.end(), [&](const Entry& each) {
        return each.value == value && each.pattern.text() == pattern.text();
      });
      if (found != list.end()) list.erase(found);
    };
    if (!pattern.exact()) {
      drop(wild_);
    } else if (const auto found = exact_.find(pattern.text()); found != exact_.end()) {
      drop(found->second);
      if (found->second.empty()) exact_.erase(found);
    }
    changed(pattern, doomed);
  }

  // What matches a topic; as it was when it was made, and valid as long.
  class Match {
   public:
    Match(TopicIndex& index, std::string_view topic)
        : index_(index), look_(index.readers_), began_(look_.began()) {
      const List* list = index.find(topic);
      keep(list != nullptr ? list : index.make(topic, &own_));
    }
    // The same if the topic's list is kept already, else nothing.
    static constexpr struct Kept {
    } kKept{};
    Match(TopicIndex& index, std::string_view topic, Kept)
        : index_(index), look_(index.readers_), began_(look_.began()) {
      if (const List* const list = index.find(topic)) {
        look_.remember(topic, list);
        keep(list);
      } else {
        look_.end();
      }
    }
    ~Match() {
      if (held_) look_.let_go();
      index_.end_match(began_);
    }
    Match(const Match&) = delete;
    Match& operator=(const Match&) = delete;

    // Null: nothing is kept.
    const ListOf* list() const { return list_; }

    // Requires: list().
    const T* begin() const { return list_->data(); }
    const T* end() const { return list_->data() + list_->size(); }
    std::size_t size() const { return list_->size(); }

   private:
    void keep(const ListOf* list) {
      held_ = list != own_.get() && look_.hold(list);
      if (!held_ && own_ == nullptr) own_ = std::make_unique<const ListOf>(*list);
      list_ = held_ ? list : own_.get();
      look_.end();
    }

    TopicIndex& index_;
    detail::Readers::Look look_;
    const std::uint64_t began_;
    std::unique_ptr<const ListOf> own_;  // where there is no room to hold or to keep it
    const ListOf* list_ = nullptr;
    bool held_ = false;
  };

  // As a match of kKept, if this thread remembers that one. Costs less.
  class Remembered {
   public:
    Remembered(TopicIndex& index, std::string_view topic)
        : index_(index), recall_(index.readers_, topic) {}
    ~Remembered() {
      if (recall_.began() == 0) return;
      recall_.let_go();
      index_.end_match(recall_.began());
    }
    Remembered(const Remembered&) = delete;
    Remembered& operator=(const Remembered&) = delete;

    const ListOf* list() const { return static_cast<const ListOf*>(recall_.object()); }

   private:
    TopicIndex& index_;
    detail::Readers::Recall recall_;
  };

  // Calls visit(value) for each match, in the order in which they were added.
  template <class Visitor>
  void for_each_match(std::string_view topic, Visitor&& visit) {
    const Match match(*this, topic);
    for (const T& each : match) visit(each);
  }

 private:
  using List = ListOf;
  struct Entry {
    std::uint64_t number;  // of addition
    TopicPattern pattern;
    T value;
  };
  // With its topic behind it.
  struct Node {
    std::atomic<const List*> list{
        nullptr};  // release by writers, acquire by readers; null: to make
    const std::size_t size;

    static Node* make(std::string_view topic) {
      Node* const node = new (topic.size()) Node(topic.size());
      std::memcpy(reinterpret_cast<char*>(node) + sizeof(Node), topic.data(), topic.size());
      return node;
    }
    ~Node() { delete list.load(std::memory_order_relaxed); }
    static void operator delete(void* memory) { ::operator delete(memory); }

    std::string_view topic() const {
      return {reinterpret_cast<const char*>(this) + sizeof(Node), size};
    }

   private:
    explicit Node(std::size_t text_size) : size(text_size) {}
    static void* operator new(std::size_t own, std::size_t text) {
      return ::operator new(own + text);
    }
    static void operator delete(void* memory, std::size_t) { ::operator delete(memory); }
  };
  // Open addressing, at most half full. A slot goes from empty to its node and stays. Its topic's
  // hash is not beside it: the node is looked at anyway, and of ten thousand topics twice as many
  // slots fit a cache.
  using Slot = std::atomic<Node*>;  // release by writers, acquire by readers
  struct Table {
    explicit Table(std::size_t size) : slots(size) {}
    std::vector<Slot> slots;
    std::size_t used = 0;
  };
  // Taken out, and destroyed with this.
  struct Doomed {
    std::uint64_t age;
    std::unique_ptr<const void, void (*)(const void*)> object;
  };
  // Found by any text, whichever string_view Abseil was built with.
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return detail::hash_text(text); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(std::string_view a, std::string_view b) const { return a == b; }
  };

  static std::vector<Node*> nodes(const Table& table) {
    std::vector<Node*> all;
    for (const Slot& each : table.slots)
      if (Node* const node = each.load(std::memory_order_relaxed)) all.push_back(node);
    return all;
  }

  static Node* find_node(const Table& table, std::size_t hash, std::string_view topic) {
    const std::size_t mask = table.slots.size() - 1;
    for (std::size_t i = hash & mask;; i = (i + 1) & mask) {
      Node* const node = table.slots[i].load(std::memory_order_acquire);
      if (node == nullptr || detail::same_text(node->topic(), topic)) return node;
    }
  }

  const List* find(std::string_view topic) const {
    const Table* const table = table_.load(std::memory_order_acquire);
    if (table == nullptr) return nullptr;
    const Node* const node = find_node(*table, Hash()(topic), topic);
    return node == nullptr ? nullptr : node->list.load(std::memory_order_acquire);
  }

  // The list of a topic that has none yet: kept, or `own` if it is no topic.
  const List* make(std::string_view topic, std::unique_ptr<const List>* own) {
    std::vector<Doomed> doomed;  // ends after the lock
    const MutexLock lock(mutex_);
    if (topic.size() > kTopicMax) {
      *own = matching(topic);
      return own->get();
    }
    Node& node = node_of(topic, doomed);
    if (node.list.load(std::memory_order_relaxed) == nullptr)
      node.list.store(matching(topic).release(), std::memory_order_release);
    return node.list.load(std::memory_order_relaxed);
  }

  std::unique_ptr<const List> matching(std::string_view topic) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    auto list = std::make_unique<List>();
    const auto found = exact_.find(topic);
    const auto exact = found == exact_.end() ? std::span<const Entry>() : std::span(found->second);
    auto next = exact.begin();
    for (const Entry& wild : wild_) {
      if (!wild.pattern.matches(topic)) continue;
      for (; next != exact.end() && next->number < wild.number; ++next)
        list->push_back(next->value);
      list->push_back(wild.value);
    }
    for (; next != exact.end(); ++next) list->push_back(next->value);
    return list;
  }

  Node& node_of(std::string_view topic, std::vector<Doomed>& doomed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const std::size_t hash = Hash()(topic);
    Table* table = table_.load(std::memory_order_relaxed);
    if (table != nullptr) {
      if (Node* const node = find_node(*table, hash, topic)) return *node;
    }
    if (table == nullptr || 2 * (table->used + 1) > table->slots.size())
      table = grow(table, doomed);
    Node* const node = Node::make(topic);
    insert(*table, hash, node);
    return *node;
  }

  static void insert(Table& table, std::size_t hash, Node* node) {
    const std::size_t mask = table.slots.size() - 1;
    std::size_t i = hash & mask;
    while (table.slots[i].load(std::memory_order_relaxed) != nullptr) i = (i + 1) & mask;
    table.slots[i].store(node, std::memory_order_release);
    ++table.used;
  }

  // A table with room. Without the topics that nobody subscribed to by name, if these are many.
  Table* grow(Table* old, std::vector<Doomed>& doomed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::vector<Node*> stay;
    std::vector<Node*> go;
    if (old != nullptr) {
      const std::vector<Node*> all = nodes(*old);
      const bool many = all.size() > exact_.size() + kTopicsKept;
      for (Node* each : all) (!many || exact_.contains(each->topic()) ? stay : go).push_back(each);
    }
    const std::size_t most = std::max(stay.size(), exact_.size()) + kTopicsKept + 1;
    const std::size_t size = std::bit_ceil(std::min(4 * (stay.size() + 8), 2 * most));
    auto table = std::make_unique<Table>(size);
    for (Node* each : stay) insert(*table, Hash()(each->topic()), each);
    table_.store(table.get(), std::memory_order_release);
    for (Node* each : go) {
      drop_list(*each);  // a match may hold it, which knows no node
      retire(each);
    }
    if (old != nullptr) retire(old);
    reclaim(doomed);
    return table.release();
  }

  // Drops the lists that `pattern` is or was part of.
  void changed(const TopicPattern& pattern, std::vector<Doomed>& doomed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Table* const table = table_.load(std::memory_order_relaxed);
    if (table == nullptr) return;
    if (pattern.exact()) {
      if (Node* const node = find_node(*table, Hash()(pattern.text()), pattern.text()))
        drop_list(*node);
    } else {
      for (Node* each : nodes(*table))
        if (pattern.matches(each->topic())) drop_list(*each);
    }
    reclaim(doomed);
  }

  void drop_list(Node& node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (const List* list = node.list.exchange(nullptr, std::memory_order_acq_rel)) retire(list);
  }

  template <class Object>
  void retire(const Object* object) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    garbage_.push_back({readers_.advance(), {object, [](const void* each) {
                                               delete static_cast<const Object*>(each);
                                             }}});
  }

  // Moves what nobody reads any more to `doomed`.
  void reclaim(std::vector<Doomed>& doomed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (garbage_.empty()) return;
    // Before the barrier: whoever still reads then sees it at the end, and comes for the rest.
    waiting_.store(true, std::memory_order_relaxed);
    detail::heavy_barrier();
    const auto first = std::partition(garbage_.begin(), garbage_.end(), [this](const auto& each) {
      return !readers_.unused(each.age, each.object.get());
    });
    std::move(first, garbage_.end(), std::back_inserter(doomed));
    garbage_.erase(first, garbage_.end());
    if (garbage_.empty()) waiting_.store(false, std::memory_order_relaxed);
  }

  void end_match(std::uint64_t began) {
    detail::light_barrier();  // pairs with the heavy one in reclaim()
    // Nobody waits for who began after all changes.
    if (waiting_.load(std::memory_order_relaxed) && readers_.passed(began)) [[unlikely]]
      collect();
  }

  void collect() {
    std::vector<Doomed> doomed;
    const MutexLock lock(mutex_);
    reclaim(doomed);
  }

  detail::Readers readers_;
  std::atomic<Table*> table_{nullptr};  // release by writers, acquire by readers
  std::atomic<bool> waiting_{false};    // garbage_ is not empty

  Mutex mutex_;
  std::uint64_t count_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<std::string, std::vector<Entry>, Hash, Equal> exact_ ABSL_GUARDED_BY(mutex_);
  std::vector<Entry> wild_ ABSL_GUARDED_BY(mutex_);
  // Taken out, and perhaps still read.
  std::vector<Doomed> garbage_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace wisp::inline v0
