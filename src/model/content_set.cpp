#include <wisp/model/content_set.hpp>

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <wisp/base/text.hpp>

#include "content_pattern.hpp"

namespace wisp::inline v0 {
namespace detail {
namespace {

constexpr std::size_t kFieldsMax = 64;  // of a pattern that are looked up; the others are tried

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return hash_text(text); }
};
template <class T>
using ByText = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;

// A field of a pattern: found, that bit of its word is set.
struct Slot {
  int pattern;
  std::uint64_t bit;
};
using Slots = std::vector<Slot>;

// Prefixes or suffixes, by their lengths: as many lookups as there are lengths.
struct Ends {
  ByText<Slots> slots;
  std::vector<std::size_t> lengths;  // each once

  void add(const std::string& text, Slot slot) {
    slots[text].push_back(slot);
    if (std::find(lengths.begin(), lengths.end(), text.size()) == lengths.end())
      lengths.push_back(text.size());
  }
};

// What is asked of one path.
struct Node {
  explicit Node(std::size_t index) : number(index) {}

  std::size_t number;
  ByText<std::unique_ptr<Node>> fields;
  ByText<Slots> texts;
  std::unordered_map<double, Slots> numbers;
  Ends prefixes;
  Ends suffixes;
  Slots any;
  std::vector<std::pair<const ContentTest*, Slot>> others;
};

}  // namespace

struct ContentIndex {
  struct Pattern {
    ContentPattern pattern;
    std::uint64_t wanted = 0;  // of its fields
    bool tried = false;        // what was found is not all that it asks for
  };

  std::size_t nodes = 1;  // the root included
  Node root{0};
  std::vector<Pattern> patterns;
  std::vector<int> all;  // candidates whatever the event holds

  void add_fields(Node& node, const ContentFields& fields, int number, std::size_t& count);
  void add_field(Node& node, const ContentField& field, Slot slot);

  void find(const Slots& slots, ContentSet::Scratch& scratch) const {
    for (const Slot& each : slots) find(each, scratch);
  }
  void find(const Slot& slot, ContentSet::Scratch& scratch) const {
    const auto at = static_cast<std::size_t>(slot.pattern);
    if (scratch.stamps_[at] != scratch.stamp_) {
      scratch.stamps_[at] = scratch.stamp_;
      scratch.found_[at] = 0;
    }
    const std::uint64_t before = scratch.found_[at];
    const std::uint64_t wanted = patterns[at].wanted;
    scratch.found_[at] = before | slot.bit;
    if ((before | slot.bit) == wanted && before != wanted)
      scratch.candidates_.push_back(slot.pattern);
  }
  // Whether fields were looked for in the elements of a list, of which one has to have them all.
  bool look(const Node& node, const Value& value, ContentSet::Scratch& scratch) const;
  void look_up(const Node& node, const Value& leaf, ContentSet::Scratch& scratch) const;
};

void ContentIndex::add_fields(Node& node, const ContentFields& fields, int number,
                              std::size_t& count) {
  Pattern& own = patterns[static_cast<std::size_t>(number)];
  if (!fields.ors.empty()) own.tried = true;
  for (const ContentField& each : fields.fields) {
    const bool absence = std::any_of(each.any.begin(), each.any.end(), [](const ContentTest& test) {
      return test.kind == Condition::absent;
    });
    if ((each.leaf && absence) || count == kFieldsMax) {
      own.tried = true;
      continue;
    }
    std::unique_ptr<Node>& below = node.fields[each.name];
    if (below == nullptr) below = std::make_unique<Node>(nodes++);
    if (!each.leaf) {
      add_fields(*below, each.nested, number, count);
      continue;
    }
    const std::uint64_t bit = std::uint64_t{1} << count++;
    own.wanted |= bit;
    add_field(*below, each, {number, bit});
  }
}

void ContentIndex::add_field(Node& node, const ContentField& field, Slot slot) {
  for (const ContentTest& each : field.any) {
    switch (each.kind) {
      case Condition::text:
        node.texts[each.text].push_back(slot);
        break;
      case Condition::number:
        node.numbers[each.low].push_back(slot);
        break;
      case Condition::prefix:
        node.prefixes.add(each.text, slot);
        break;
      case Condition::suffix:
        node.suffixes.add(each.text, slot);
        break;
      case Condition::exists:
        node.any.push_back(slot);
        break;
      default:
        node.others.emplace_back(&each, slot);
        break;
    }
  }
}

void ContentIndex::look_up(const Node& node, const Value& leaf,
                           ContentSet::Scratch& scratch) const {
  find(node.any, scratch);
  for (const auto& [test, slot] : node.others)
    if (test->matches(leaf)) find(slot, scratch);
  if (leaf.kind == ValueKind::text) {
    const std::string_view text = leaf.view();
    const auto found_in = [&](const ByText<Slots>& slots, std::string_view key) {
      const auto found = slots.find(key);
      if (found != slots.end()) find(found->second, scratch);
    };
    if (!node.texts.empty()) found_in(node.texts, text);
    for (const std::size_t each : node.prefixes.lengths)
      if (each <= text.size()) found_in(node.prefixes.slots, text.substr(0, each));
    for (const std::size_t each : node.suffixes.lengths)
      if (each <= text.size()) found_in(node.suffixes.slots, text.substr(text.size() - each));
  } else if (const std::optional<double> n = number_of(leaf); n && !node.numbers.empty()) {
    const auto found = node.numbers.find(*n);
    if (found != node.numbers.end()) find(found->second, scratch);
  }
}

bool ContentIndex::look(const Node& node, const Value& value, ContentSet::Scratch& scratch) const {
  bool in_lists = false;
  const Value* at = &value + 1;
  switch (value.kind) {
    case ValueKind::object: {
      if (node.fields.empty()) return false;
      const std::uint64_t object = ++scratch.objects_;
      for (std::uint32_t i = 0; i < value.size; ++i, at = at[1].next()) {
        const auto found = node.fields.find(at->view());
        if (found == node.fields.end()) continue;
        // Of two members of one name the first counts.
        if (std::exchange(scratch.looked_[found->second->number], object) == object) continue;
        if (look(*found->second, at[1], scratch)) in_lists = true;
      }
      return in_lists;
    }
    case ValueKind::array:
      for (; at != value.next(); at = at->next()) {
        in_lists = in_lists || (at->nests() && !node.fields.empty());
        if (look(node, *at, scratch)) in_lists = true;
      }
      return in_lists;
    default:
      look_up(node, value, scratch);
      return false;
  }
}

}  // namespace detail

ContentSet::ContentSet() : index_(std::make_unique<detail::ContentIndex>()) {}
ContentSet::~ContentSet() = default;

int ContentSet::add(const ContentPattern& pattern) {
  const int number = static_cast<int>(index_->patterns.size());
  index_->patterns.push_back({pattern});
  std::size_t count = 0;
  index_->add_fields(index_->root, *pattern.root_, number, count);
  detail::ContentIndex::Pattern& own = index_->patterns.back();
  if (own.wanted == 0) index_->all.push_back(number);
  return number;
}

const std::vector<int>& ContentSet::match(const Value& event, Scratch& scratch) const {
  const std::size_t count = index_->patterns.size();
  scratch.matched_.clear();
  if (event.kind != ValueKind::object) return scratch.matched_;
  if (scratch.stamps_.size() != count || ++scratch.stamp_ == 0) {
    scratch.stamps_.assign(count, 0);
    scratch.found_.assign(count, 0);
    scratch.stamp_ = 1;
  }
  scratch.looked_.resize(index_->nodes);
  scratch.candidates_.assign(index_->all.begin(), index_->all.end());
  const bool in_lists = index_->look(index_->root, event, scratch);
  for (const int each : scratch.candidates_) {
    const auto& own = index_->patterns[static_cast<std::size_t>(each)];
    if ((!own.tried && !in_lists) || own.pattern.matches(event)) scratch.matched_.push_back(each);
  }
  std::sort(scratch.matched_.begin(), scratch.matched_.end());
  return scratch.matched_;
}

}  // namespace wisp::inline v0
