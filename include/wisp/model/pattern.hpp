// Topics, patterns of topics, and filters over an event's fields.
//
//   wisp::Result<wisp::TopicPattern> pattern = wisp::TopicPattern::parse("orders.*.paid");
//   assert(pattern->matches("orders.4711.paid"));
//   wisp::Filter big =
//       wisp::field("total").at_least(100) && wisp::field("country").one_of({"PT", "ES"});
//
// A topic is non-empty tokens joined by '.', at most kTopicMax bytes: no blanks, no control
// characters, no '*' or '>'; bytes beyond ASCII pass unlooked at. In a pattern `*` stands for one
// token and `>`, last, for one or more: the rules of NATS.
//
// Threads: value.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <wisp/base/fields.hpp>
#include <wisp/base/status.hpp>
#include <wisp/model/event.hpp>

namespace wisp::inline v0 {

inline constexpr std::size_t kTopicMax = 1024;

// kInvalidArgument naming the topic and the place of the fault.
Status check_topic(std::string_view topic);

class TopicPattern {
 public:
  // Matches nothing.
  TopicPattern() = default;

  // kInvalidArgument naming the pattern and the place of the fault.
  static Result<TopicPattern> parse(std::string_view text);

  // Linear in the topic, without allocation. A text that is no topic may match or not.
  bool matches(std::string_view topic) const;

  const std::string& text() const { return text_; }
  // Without wildcards: it matches itself only.
  bool exact() const { return exact_; }

 private:
  std::string text_;
  bool exact_ = false;
};

// What a field is compared with: a number, a truth value or text.
class Operand {
 public:
  template <class T>
    requires(std::is_arithmetic_v<T> || std::is_enum_v<T>)
  Operand(T value)
      : value_(detail::field_value(value)),  // NOLINT(google-explicit-constructor): at_least(100)
        kind_(detail::field_kind<T>()) {}
  template <class T>
    requires std::convertible_to<const T&, std::string_view>
  Operand(const T& text)
      : value_(std::string(std::string_view(text))), kind_(FieldKind::text) {}  // NOLINT

  // Of an enum with names, text.
  FieldKind kind() const { return kind_; }
  FieldValue value() const {
    const auto* const text = std::get_if<std::string>(&value_);
    return text == nullptr ? std::get<FieldValue>(value_) : FieldValue(std::string_view(*text));
  }

 private:
  std::variant<FieldValue, std::string> value_;
  FieldKind kind_;
};

namespace detail {
struct FilterNode;
struct BoundNode;
}  // namespace detail

// A filter resolved against one type.
class BoundFilter {
 public:
  explicit BoundFilter(std::shared_ptr<const detail::BoundNode> root) : root_(std::move(root)) {}

  // Requires: `object` points to a value of the type it was bound to. Does not allocate.
  bool matches(const void* object) const;

 private:
  std::shared_ptr<const detail::BoundNode> root_;  // shared because immutable
};

// A condition on named fields. A path with dots walks nested structs: field("customer.country"). An
// empty optional fulfils nothing; `!` turns the result of what follows it, so
// `!field("x").equals(1)` holds for an empty x.
class Filter {
 public:
  explicit Filter(std::shared_ptr<const detail::FilterNode> root) : root_(std::move(root)) {}

  // kInvalidArgument naming the field that the type lacks, or the kinds that do not compare.
  Result<BoundFilter> bind(const TypeInfo& type) const;

  // The same without binding, for handlers that take any type: a condition on a field that the type
  // lacks, or of a kind that does not compare, does not hold.
  bool matches(const TypeInfo& type, const void* object) const;

  friend Filter operator&&(const Filter& a, const Filter& b);
  friend Filter operator||(const Filter& a, const Filter& b);
  friend Filter operator!(const Filter& a);

 private:
  std::shared_ptr<const detail::FilterNode> root_;  // shared because immutable
};

// A field by name, to make conditions of. Numbers compare by value whatever their types; NaN
// fulfils nothing but not_equals.
class FieldName {
 public:
  explicit FieldName(std::string_view path) : path_(path) {}

  Filter equals(Operand value) const;
  Filter not_equals(Operand value) const;
  Filter less_than(Operand value) const;
  Filter at_most(Operand value) const;
  Filter greater_than(Operand value) const;
  Filter at_least(Operand value) const;
  Filter one_of(std::initializer_list<Operand> values) const;
  Filter starts_with(std::string_view text) const;
  Filter ends_with(std::string_view text) const;
  Filter contains(std::string_view text) const;
  // Not an empty optional.
  Filter exists() const;

 private:
  std::string path_;
};

inline FieldName field(std::string_view path) { return FieldName(path); }

}  // namespace wisp::inline v0
