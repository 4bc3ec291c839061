// A pattern's text as what is matched.
#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include <wisp/base/codec.hpp>
#include <wisp/model/content_pattern.hpp>

#include "content_pattern.hpp"

namespace wisp::inline v0 {
namespace detail {
namespace {

std::string lowered(std::string_view text) {
  std::string low(text);
  for (char& c : low)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return low;
}

ContentTest text_test(Condition kind, std::string text) {
  ContentTest test;
  test.kind = kind;
  test.text = std::move(text);
  return test;
}

// A value as it is.
Result<ContentTest> exact(const Reader& from) {
  ContentTest test;
  switch (from.kind()) {
    case ValueKind::null:
      return test;
    case ValueKind::boolean:
      test.kind = Condition::boolean;
      test.boolean = from.value().boolean;
      return test;
    case ValueKind::text:
      return text_test(Condition::text, std::string(from.value().view()));
    case ValueKind::array:
    case ValueKind::object:
      return from.expected("a value that is neither a list nor an object");
    default: {
      test.kind = Condition::number;
      WISP_TRY(test.low, from.read<double>());
      test.high = test.low;
      return test;
    }
  }
}

Result<ContentTest> wildcard(const Reader& from) {
  WISP_TRY(const std::string text, from.read<std::string>());
  ContentTest test;
  test.kind = Condition::wildcard;
  test.parts.emplace_back();
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '*') {
      if (i > 0 && test.parts.size() > 1 && test.parts.back().empty() && text[i - 1] == '*')
        return from.wrong("has ** in it");
      test.parts.emplace_back();
      continue;
    }
    if (text[i] == '\\') {
      if (++i == text.size() || (text[i] != '*' && text[i] != '\\'))
        return from.wrong("has a \\ that is followed by neither * nor \\");
    }
    test.parts.back() += text[i];
  }
  if (test.parts.size() == 1) return text_test(Condition::text, std::move(test.parts.front()));
  return test;
}

// Of prefix and suffix: a text, or {"equals-ignore-case": a text}.
Result<ContentTest> end_of_text(const Reader& from, Condition kind, Condition ignoring_case) {
  if (from.kind() == ValueKind::text) return text_test(kind, std::string(from.value().view()));
  ContentTest test;
  if (from.kind() != ValueKind::object || from.value().size != 1)
    return from.expected("a text, or {\"equals-ignore-case\": a text}");
  WISP_TRY(from.each_member([&](std::string_view name, const Reader& each) -> Status {
    if (name != "equals-ignore-case") return each.wrong("is no operator here");
    WISP_TRY(const std::string text, each.read<std::string>());
    test = text_test(ignoring_case, lowered(text));
    return Status();
  }));
  return test;
}

// A text, or a list of these.
template <class Make>
Status each_text(const Reader& from, std::vector<ContentTest>& to, const Make& make) {
  const auto add = [&](const Reader& each) -> Status {
    WISP_TRY(ContentTest test, make(each));
    to.push_back(std::move(test));
    return Status();
  };
  if (from.kind() != ValueKind::array) return add(from);
  if (from.value().size == 0) return from.wrong("is an empty list");
  return from.each_element(add);
}

using MakeText = Result<ContentTest> (*)(const Reader&);
// What makes a test of one text, for the operators that take one; null: none of these.
MakeText text_operator(std::string_view name) {
  if (name == "prefix")
    return [](const Reader& from) {
      return end_of_text(from, Condition::prefix, Condition::prefix_ignoring_case);
    };
  if (name == "suffix")
    return [](const Reader& from) {
      return end_of_text(from, Condition::suffix, Condition::suffix_ignoring_case);
    };
  if (name == "equals-ignore-case")
    return [](const Reader& from) -> Result<ContentTest> {
      WISP_TRY(const std::string text, from.read<std::string>());
      return text_test(Condition::equal_ignoring_case, lowered(text));
    };
  if (name == "wildcard") return &wildcard;
  return nullptr;
}

Result<ContentTest> anything_but(const Reader& from) {
  ContentTest test;
  test.kind = Condition::anything_but;
  if (from.kind() != ValueKind::object) {
    WISP_TRY(each_text(from, test.none, &exact));
    const auto all = [&](Condition kind) {
      return std::all_of(test.none.begin(), test.none.end(),
                         [kind](const ContentTest& each) { return each.kind == kind; });
    };
    if (from.kind() == ValueKind::array && !all(Condition::text) && !all(Condition::number))
      return from.expected("a list of texts or of numbers");
    return test;
  }
  if (from.value().size != 1) return from.expected("an object of one operator");
  WISP_TRY(from.each_member([&](std::string_view name, const Reader& each) {
    const MakeText make = text_operator(name);
    if (make == nullptr) return each.wrong("is no operator here");
    return each_text(each, test.none, make);
  }));
  return test;
}

Result<ContentTest> numeric(const Reader& from) {
  constexpr double kMost = std::numeric_limits<double>::infinity();
  ContentTest test;
  test.kind = Condition::numeric;
  test.low = -kMost;
  test.high = kMost;
  const auto size = from.kind() == ValueKind::array ? from.value().size : 0;
  if (size != 2 && size != 4) return from.expected("[operator, number], or two of these");
  std::string op;
  bool low = false;
  bool high = false;
  WISP_TRY(from.each_element([&](const Reader& each) -> Status {
    if (op.empty()) {
      WISP_TRY(op, each.read<std::string>());
      const bool known = op == "=" || op == "<" || op == "<=" || op == ">" || op == ">=";
      return known ? Status() : each.expected("one of =, <, <=, >, >=");
    }
    WISP_TRY(const double n, each.read<double>());
    const bool below = op[0] != '>';
    const bool above = op[0] != '<';
    if ((above && low) || (below && high)) return each.wrong("is a second bound on one side");
    low = low || above;
    high = high || below;
    if (above) test.low = n;
    if (below) test.high = n;
    if (op == ">") test.low_open = true;
    if (op == "<") test.high_open = true;
    op.clear();
    return Status();
  }));
  const bool open = test.low_open || test.high_open;
  if (test.low > test.high || (open && test.low == test.high))
    return from.wrong("is a range without numbers");
  return test;
}

Result<ContentTest> cidr(const Reader& from) {
  WISP_TRY(const std::string text, from.read<std::string>());
  ContentTest test;
  test.kind = Condition::cidr;
  const std::size_t slash = text.find('/');
  const char* const end = text.data() + text.size();
  if (slash != text.npos && parse_address(text.substr(0, slash), test.address, test.v6)) {
    const auto [rest, error] = std::from_chars(text.data() + slash + 1, end, test.bits);
    if (error == std::errc() && rest == end && test.bits >= 0 && test.bits <= (test.v6 ? 128 : 32))
      return test;
  }
  return from.expected("an address and its bits, such as \"10.0.0.0/8\"");
}

Result<ContentTest> one_operator(std::string_view name, const Reader& from) {
  if (const MakeText make = text_operator(name)) return make(from);
  if (name == "anything-but") return anything_but(from);
  if (name == "numeric") return numeric(from);
  if (name == "cidr") return cidr(from);
  if (name != "exists") return from.wrong("is no operator");
  WISP_TRY(const bool exists, from.read<bool>());
  ContentTest test;
  test.kind = exists ? Condition::exists : Condition::absent;
  return test;
}

Status read_leaf(const Reader& from, std::vector<ContentTest>& to) {
  if (from.value().size == 0) return from.wrong("is an empty list: nothing would match");
  return from.each_element([&to](const Reader& each) -> Status {
    if (each.kind() != ValueKind::object) {
      WISP_TRY(ContentTest test, exact(each));
      to.push_back(std::move(test));
      return Status();
    }
    if (each.value().size != 1) return each.expected("an object of one operator");
    return each.each_member([&to](std::string_view name, const Reader& operand) -> Status {
      WISP_TRY(ContentTest test, one_operator(name, operand));
      to.push_back(std::move(test));
      return Status();
    });
  });
}

// Two or more objects.
bool is_or(const Reader& from) {
  const Value& value = from.value();
  if (value.kind != ValueKind::array || value.size < 2) return false;
  for (const Value* each = &value + 1; each != value.next(); each = each->next())
    if (each->kind != ValueKind::object) return false;
  return true;
}

Status read_fields(const Reader& from, ContentFields& to) {
  if (from.kind() != ValueKind::object) return from.expected("an object of fields");
  if (from.value().size == 0) return from.wrong("is an empty pattern");
  return from.each_member([&to](std::string_view name, const Reader& each) -> Status {
    if (name == "$or" && is_or(each)) {
      std::vector<ContentFields>& alternatives = to.ors.emplace_back();
      return each.each_element(
          [&](const Reader& one) { return read_fields(one, alternatives.emplace_back()); });
    }
    const auto same = [name](const ContentField& other) { return other.name == name; };
    if (std::any_of(to.fields.begin(), to.fields.end(), same)) return each.wrong("is there twice");
    ContentField& field = to.fields.emplace_back();
    field.name = name;
    field.leaf = each.kind() == ValueKind::array;
    if (field.leaf) return read_leaf(each, field.any);
    if (each.kind() != ValueKind::object) return each.expected("a list, or an object of fields");
    return read_fields(each, field.nested);
  });
}

}  // namespace
}  // namespace detail

Result<ContentPattern> ContentPattern::compile(const Value& pattern) {
  auto root = std::make_shared<detail::ContentFields>();
  WISP_TRY(detail::read_fields(Reader(pattern, ""), *root));
  return ContentPattern(std::move(root));
}

}  // namespace wisp::inline v0
