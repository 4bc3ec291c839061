// Whether an event matches a pattern.
#include "content_pattern.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include <wisp/model/content_pattern.hpp>

namespace wisp::inline v0 {
namespace detail {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

bool equal_ignoring_case(std::string_view text, std::string_view low) {
  return std::equal(text.begin(), text.end(), low.begin(), low.end(),
                    [](char a, char b) { return lower(a) == b; });
}

std::string_view front(std::string_view text, std::size_t size) { return text.substr(0, size); }
std::string_view back(std::string_view text, std::size_t size) {
  return text.substr(text.size() - std::min(size, text.size()));
}

bool within(const ContentTest& test, std::string_view text) {
  std::array<std::uint8_t, 16> address{};
  bool v6 = false;
  if (!parse_address(text, address, v6) || v6 != test.v6) return false;
  const auto whole = static_cast<std::size_t>(test.bits) / 8;
  if (!std::equal(address.begin(), address.begin() + whole, test.address.begin())) return false;
  const int rest = test.bits % 8;
  return rest == 0 || (address[whole] ^ test.address[whole]) >> (8 - rest) == 0;
}

bool text_matches(const ContentTest& test, std::string_view text) {
  switch (test.kind) {
    case Condition::text:
      return text == test.text;
    case Condition::prefix:
      return text.starts_with(test.text);
    case Condition::suffix:
      return text.ends_with(test.text);
    case Condition::equal_ignoring_case:
      return equal_ignoring_case(text, test.text);
    case Condition::prefix_ignoring_case:
      return equal_ignoring_case(front(text, test.text.size()), test.text);
    case Condition::suffix_ignoring_case:
      return equal_ignoring_case(back(text, test.text.size()), test.text);
    case Condition::wildcard:
      return matches_wildcard(test.parts, text);
    case Condition::cidr:
      return within(test, text);
    default:
      return false;
  }
}

// Whether `holds` is true of a value in it that is neither array nor object.
template <class Holds>
bool any_leaf(const Value& value, const Holds& holds) {
  if (value.kind == ValueKind::object) return false;
  if (value.kind != ValueKind::array) return holds(value);
  for (const Value* each = &value + 1; each != value.next(); each = each->next())
    if (any_leaf(*each, holds)) return true;
  return false;
}

const Value* member(const Value& object, std::string_view name) {
  const Value* at = &object + 1;
  for (std::uint32_t i = 0; i < object.size; ++i, at = at[1].next())
    if (at->view() == name) return at + 1;
  return nullptr;
}

bool match(const ContentFields& fields, const Value* value);

// Null: there is no such field.
bool match(const ContentField& field, const Value* value) {
  if (!field.leaf) return match(field.nested, value);
  const auto holds = [&field](const Value& leaf) {
    return std::any_of(field.any.begin(), field.any.end(),
                       [&leaf](const ContentTest& test) { return test.matches(leaf); });
  };
  if (value != nullptr && any_leaf(*value, holds)) return true;
  const bool absence = std::any_of(field.any.begin(), field.any.end(), [](const ContentTest& test) {
    return test.kind == Condition::absent;
  });
  return absence && (value == nullptr || !any_leaf(*value, [](const Value&) { return true; }));
}

// Of an object, or of none.
bool match_here(const ContentFields& fields, const Value* object) {
  const auto look = [object](std::string_view name) {
    return object == nullptr ? nullptr : member(*object, name);
  };
  return std::all_of(fields.fields.begin(), fields.fields.end(),
                     [&](const ContentField& each) { return match(each, look(each.name)); }) &&
         std::all_of(fields.ors.begin(), fields.ors.end(), [&](const auto& alternatives) {
           return std::any_of(alternatives.begin(), alternatives.end(),
                              [&](const ContentFields& each) { return match_here(each, object); });
         });
}

bool match(const ContentFields& fields, const Value* value) {
  if (value != nullptr && value->kind == ValueKind::object) return match_here(fields, value);
  bool objects = false;
  if (value != nullptr && value->kind == ValueKind::array) {
    for (const Value* each = value + 1; each != value->next(); each = each->next()) {
      if (!each->nests()) continue;
      objects = true;
      if (match(fields, each)) return true;
    }
  }
  return !objects && match_here(fields, nullptr);
}

}  // namespace

bool ContentTest::matches(const Value& value) const {
  switch (kind) {
    case Condition::null:
      return value.kind == ValueKind::null;
    case Condition::boolean:
      return value.kind == ValueKind::boolean && value.boolean == boolean;
    case Condition::number:
    case Condition::numeric: {
      const std::optional<double> n = number_of(value);
      return n && (low_open ? *n > low : *n >= low) && (high_open ? *n < high : *n <= high);
    }
    case Condition::exists:
      return true;
    case Condition::absent:
      return false;
    case Condition::anything_but:
      return std::none_of(none.begin(), none.end(),
                          [&value](const ContentTest& each) { return each.matches(value); });
    default:
      return value.kind == ValueKind::text && text_matches(*this, value.view());
  }
}

std::optional<double> number_of(const Value& value) {
  switch (value.kind) {
    case ValueKind::integer:
      return static_cast<double>(value.integer);
    case ValueKind::natural:
      return static_cast<double>(value.natural);
    case ValueKind::real:
      return value.real;
    default:
      return std::nullopt;
  }
}

bool matches_wildcard(const std::vector<std::string>& parts, std::string_view text) {
  const std::string& first = parts.front();
  const std::string& last = parts.back();
  if (text.size() < first.size() + last.size() || !text.starts_with(first) || !text.ends_with(last))
    return false;
  text = text.substr(first.size(), text.size() - first.size() - last.size());
  for (std::size_t i = 1; i + 1 < parts.size(); ++i) {
    // Linear whatever the text: glibc's two-way search.
    const void* const found = memmem(text.data(), text.size(), parts[i].data(), parts[i].size());
    if (found == nullptr) return false;
    const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
    text.remove_prefix(at + parts[i].size());
  }
  return true;
}

bool parse_address(std::string_view text, std::array<std::uint8_t, 16>& address, bool& v6) {
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  if (text.size() >= terminated.size()) return false;
  std::copy(text.begin(), text.end(), terminated.begin());
  if (std::strlen(terminated.data()) != text.size()) return false;
  v6 = text.find(':') != text.npos;
  return inet_pton(v6 ? AF_INET6 : AF_INET, terminated.data(), address.data()) == 1;
}

}  // namespace detail

bool ContentPattern::matches(const Value& event) const {
  return event.kind == ValueKind::object && detail::match(*root_, &event);
}

}  // namespace wisp::inline v0
