// Patterns of what is in an event, in the grammar of Amazon EventBridge.
//
//   {"state": ["paid", {"prefix": "part"}], "total": [{"numeric": [">=", 100, "<", 1000]}],
//    "customer": {"country": [{"anything-but": ["PT", "ES"]}], "coupon": [{"exists": false}]}}
//
// All fields of a pattern have to match; a field matches if one of its list does: a value as it is,
// or an object of one operator:
//
//   prefix, suffix       a text, or {"equals-ignore-case": a text}
//   equals-ignore-case   a text: ASCII letters are the same in both cases
//   wildcard             a text in which * stands for any text, \* and \\ for themselves; no **
//   anything-but         a value, a list of texts or of numbers, or {prefix, suffix,
//                        equals-ignore-case or wildcard: a text or a list}: none of these
//   numeric              [op, number] or [op, number, op, number], of =, <, <=, >, >=
//   exists               true or false: whether there is such a field, with a value
//   cidr                 "10.0.0.0/8", "2001:db8::/32": a text that is an address within
//
// Numbers are compared as such: 1 is 1.0. "$or": a list of two or more patterns, one of which has
// to match by itself; otherwise a field of that name. Of a list in the event one element is enough;
// the fields of a pattern that is nested are looked for in one and the same element.
//
// Linear in the event and in the pattern, whatever they hold: of each wildcard too.
//
// Threads: value.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/reader.hpp>
#include <wisp/base/status.hpp>
#include <wisp/base/value.hpp>
#include <wisp/model/pattern.hpp>

namespace wisp::inline v0 {

namespace detail {
struct ContentFields;
}  // namespace detail

class ContentPattern {
 public:
  // kInvalidArgument with the place of the fault: "customer.country[0].prefix: expected a text, got
  // 5".
  static Result<ContentPattern> compile(const Value& pattern);

  // An event that is no object matches nothing. Of two members of one name the first counts. Does
  // not allocate.
  bool matches(const Value& event) const;

  // The same on the fields of a struct, for where() on a subscription: an empty optional is a field
  // that is not there, an enum what FieldValue says. A field that the type lacks is an error there,
  // and a condition on one that is a container or a struct.
  // Fields with a dot in their names are those of nested structs.
  Filter filter() const;

 private:
  friend class ContentSet;
  explicit ContentPattern(std::shared_ptr<const detail::ContentFields> root)
      : root_(std::move(root)) {}

  std::shared_ptr<const detail::ContentFields> root_;  // shared because immutable
};

}  // namespace wisp::inline v0
