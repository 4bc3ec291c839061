#include <algorithm>
#include <compare>
#include <optional>
#include <variant>

#include <wisp/model/content_pattern.hpp>
#include <wisp/model/pattern.hpp>

#include "content_pattern.hpp"

namespace wisp::inline v0 {
namespace detail {

enum class Test {
  equals,
  not_equals,
  less_than,
  at_most,
  greater_than,
  at_least,
  one_of,
  starts_with,
  ends_with,
  contains,
  exists,
  content,
  both,
  either,
  negated,
};

struct FilterNode {
  Test test;
  std::string path;
  std::vector<Operand> operands;
  std::shared_ptr<const FilterNode> left;
  std::shared_ptr<const FilterNode> right;
  // Of content: one of the tests of this field of a pattern; shared with the pattern.
  std::shared_ptr<const ContentField> content{};
};

// A leaf's way to its field: through nested structs, then the value.
struct BoundNode {
  const FilterNode* node;
  std::shared_ptr<const FilterNode> keep;  // of the root, set there only
  std::vector<const FieldInfo*> path;
  std::shared_ptr<const BoundNode> left;
  std::shared_ptr<const BoundNode> right;
};

namespace {

// Exact across integer and floating types: 2^53 + 1 is not equal to the double 2^53.
std::partial_ordering compare_mixed(double a, std::int64_t b) {
  if (a != a) return std::partial_ordering::unordered;
  if (a >= 9223372036854775808.0) return std::partial_ordering::greater;
  if (a < -9223372036854775808.0) return std::partial_ordering::less;
  const auto whole = static_cast<std::int64_t>(a);
  if (whole != b) return whole <=> b;
  return a - static_cast<double>(whole) <=> 0.0;
}

std::partial_ordering compare_mixed(double a, std::uint64_t b) {
  if (a != a) return std::partial_ordering::unordered;
  if (a >= 18446744073709551616.0) return std::partial_ordering::greater;
  if (a < 0) return std::partial_ordering::less;
  const auto whole = static_cast<std::uint64_t>(a);
  if (whole != b) return whole <=> b;
  return a - static_cast<double>(whole) <=> 0.0;
}

std::partial_ordering reversed(std::partial_ordering order) { return 0 <=> order; }

struct Comparer {
  std::partial_ordering operator()(std::int64_t a, std::uint64_t b) const {
    return a < 0 ? std::partial_ordering::less : static_cast<std::uint64_t>(a) <=> b;
  }
  std::partial_ordering operator()(std::uint64_t a, std::int64_t b) const {
    return reversed((*this)(b, a));
  }
  std::partial_ordering operator()(double a, std::int64_t b) const { return compare_mixed(a, b); }
  std::partial_ordering operator()(double a, std::uint64_t b) const { return compare_mixed(a, b); }
  std::partial_ordering operator()(std::int64_t a, double b) const {
    return reversed(compare_mixed(b, a));
  }
  std::partial_ordering operator()(std::uint64_t a, double b) const {
    return reversed(compare_mixed(b, a));
  }
  template <class T>
  std::partial_ordering operator()(const T& a, const T& b) const {
    if constexpr (std::same_as<T, std::monostate>) return std::partial_ordering::unordered;
    else return a <=> b;
  }
  template <class A, class B>
  std::partial_ordering operator()(const A&, const B&) const {
    return std::partial_ordering::unordered;  // of different kinds
  }
};

std::partial_ordering compare(const FieldValue& a, const FieldValue& b) {
  return std::visit(Comparer(), a, b);
}

bool holds_text(const FilterNode& node, const FieldValue& value) {
  const auto* text = std::get_if<std::string_view>(&value);
  if (text == nullptr) return false;
  const std::string_view part = std::get<std::string_view>(node.operands[0].value());
  if (node.test == Test::starts_with) return text->substr(0, part.size()) == part;
  if (node.test == Test::ends_with)
    return text->size() >= part.size() && text->substr(text->size() - part.size()) == part;
  return text->find(part) != text->npos;
}

// Requires: `node` is a leaf other than exists, and its field is of a kind that compares with the
// operands.
bool holds(const FilterNode& node, const FieldValue& value) {
  if (std::holds_alternative<std::monostate>(value)) return false;
  if (node.test >= Test::starts_with) return holds_text(node, value);
  if (node.test == Test::one_of) {
    return std::any_of(node.operands.begin(), node.operands.end(),
                       [&value](const Operand& each) { return compare(value, each.value()) == 0; });
  }
  const std::partial_ordering order = compare(value, node.operands[0].value());
  switch (node.test) {
    case Test::equals:
      return order == 0;
    case Test::not_equals:
      return order != 0;
    case Test::less_than:
      return order < 0;
    case Test::at_most:
      return order <= 0;
    case Test::greater_than:
      return order > 0;
    default:
      return order >= 0;
  }
}

bool leaf(const FilterNode& node) { return node.test < Test::both; }

// The fields from `type` to the leaf's own. kInvalidArgument naming what is missing.
Result<std::vector<const FieldInfo*>> resolve(const FilterNode& node, const TypeInfo& type) {
  std::vector<const FieldInfo*> path;
  const TypeInfo* owner = &type;
  std::string_view rest = node.path;
  while (true) {
    const std::size_t dot = rest.find('.');
    const std::string_view name = rest.substr(0, dot);
    if (owner == nullptr) {
      return invalid_argument(
          "field '{}' of type '{}' is of kind {}, it has no field '{}'",
          std::string_view(node.path).substr(0, node.path.size() - rest.size() - 1), type.name(),
          to_string(path.back()->kind), name);
    }
    const FieldInfo* found = find_field(*owner, name);
    if (found == nullptr) {
      std::string has;
      for (const FieldInfo& each : owner->fields)
        has.append(has.empty() ? "" : ", ").append(each.name);
      return invalid_argument("type '{}' has no field '{}'; it has {}", owner->name(), name,
                              has.empty() ? "none: WISP_FIELDS names what filters see" : has);
    }
    path.push_back(found);
    if (dot == rest.npos) break;
    rest.remove_prefix(dot + 1);
    owner = found->type;
  }
  const FieldKind kind = path.back()->kind;
  if (node.test == Test::content && (kind == FieldKind::object || kind == FieldKind::other))
    return invalid_argument("field '{}' of type '{}' is of kind {}, whose content no pattern sees",
                            node.path, type.name(), to_string(kind));
  for (const Operand& each : node.operands) {
    if (path.back()->kind != each.kind()) {
      return invalid_argument("field '{}' of type '{}' is of kind {}, it does not compare with {}",
                              node.path, type.name(), to_string(path.back()->kind),
                              to_string(each.kind()));
    }
  }
  return path;
}

FieldValue read(const std::vector<const FieldInfo*>& path, const void* object) {
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    object = path[i]->member(object);
    if (object == nullptr) return {};  // within an empty optional
  }
  return path.back()->read(object);
}

struct ToValue {
  Value operator()(std::monostate) const { return {}; }
  Value operator()(bool value) const {
    return {.kind = ValueKind::boolean, .size = 0, .boolean = value};
  }
  Value operator()(std::int64_t value) const {
    return {.kind = ValueKind::integer, .size = 0, .integer = value};
  }
  Value operator()(std::uint64_t value) const {
    return {.kind = ValueKind::natural, .size = 0, .natural = value};
  }
  Value operator()(double value) const {
    return {.kind = ValueKind::real, .size = 0, .real = value};
  }
  Value operator()(std::string_view text) const {
    return {.kind = ValueKind::text,
            .size = static_cast<std::uint32_t>(text.size()),
            .text = text.data()};
  }
};

bool content_holds(const ContentField& field, const FieldValue& value) {
  const bool empty = std::holds_alternative<std::monostate>(value);
  const Value leaf = std::visit(ToValue(), value);
  return std::any_of(field.any.begin(), field.any.end(), [&](const ContentTest& each) {
    return empty ? each.kind == Condition::absent : each.matches(leaf);
  });
}

bool test_leaf(const FilterNode& node, const std::vector<const FieldInfo*>& path,
               const void* object) {
  const FieldValue value = read(path, object);
  if (node.test == Test::content) return content_holds(*node.content, value);
  if (node.test != Test::exists) return holds(node, value);
  return !std::holds_alternative<std::monostate>(value);
}

Result<std::shared_ptr<BoundNode>> bind(const FilterNode& node, const TypeInfo& type) {
  auto bound = std::make_shared<BoundNode>();
  bound->node = &node;
  if (leaf(node)) {
    WISP_TRY(bound->path, resolve(node, type));
    return bound;
  }
  WISP_TRY(bound->left, bind(*node.left, type));
  if (node.right != nullptr) {
    WISP_TRY(bound->right, bind(*node.right, type));
  }
  return bound;
}

bool matches(const BoundNode& bound, const void* object) {
  switch (bound.node->test) {
    case Test::both:
      return matches(*bound.left, object) && matches(*bound.right, object);
    case Test::either:
      return matches(*bound.left, object) || matches(*bound.right, object);
    case Test::negated:
      return !matches(*bound.left, object);
    default:
      return test_leaf(*bound.node, bound.path, object);
  }
}

bool matches(const FilterNode& node, const TypeInfo& type, const void* object) {
  switch (node.test) {
    case Test::both:
      return matches(*node.left, type, object) && matches(*node.right, type, object);
    case Test::either:
      return matches(*node.left, type, object) || matches(*node.right, type, object);
    case Test::negated:
      return !matches(*node.left, type, object);
    default:
      break;
  }
  const auto path = resolve(node, type);
  return path.ok() && test_leaf(node, *path, object);
}

}  // namespace
}  // namespace detail

namespace {

using detail::Test;

Filter condition(Test test, std::string_view path, std::vector<Operand> operands) {
  return Filter(std::make_shared<const detail::FilterNode>(
      detail::FilterNode{test, std::string(path), std::move(operands), nullptr, nullptr}));
}

}  // namespace

Filter operator&&(const Filter& a, const Filter& b) {
  return Filter(std::make_shared<const detail::FilterNode>(
      detail::FilterNode{Test::both, "", {}, a.root_, b.root_}));
}

Filter operator||(const Filter& a, const Filter& b) {
  return Filter(std::make_shared<const detail::FilterNode>(
      detail::FilterNode{Test::either, "", {}, a.root_, b.root_}));
}

Filter operator!(const Filter& a) {
  return Filter(std::make_shared<const detail::FilterNode>(
      detail::FilterNode{Test::negated, "", {}, a.root_, nullptr}));
}

namespace detail {
namespace {

// A field of `root`, which owns it, below `path`.
Filter of_field(const std::shared_ptr<const ContentFields>& root, const ContentField& field,
                const std::string& path);

Filter of_fields(const std::shared_ptr<const ContentFields>& root, const ContentFields& fields,
                 const std::string& path) {
  std::optional<Filter> all;
  const auto add = [&all](const Filter& each) { all = all ? *all && each : each; };
  for (const ContentField& each : fields.fields) add(of_field(root, each, path));
  for (const std::vector<ContentFields>& alternatives : fields.ors) {
    std::optional<Filter> any;
    for (const ContentFields& each : alternatives) {
      const Filter one = of_fields(root, each, path);
      any = any ? *any || one : one;
    }
    add(*any);
  }
  return *all;  // no pattern is empty
}

Filter of_field(const std::shared_ptr<const ContentFields>& root, const ContentField& field,
                const std::string& path) {
  const std::string own = path.empty() ? field.name : path + "." + field.name;
  if (!field.leaf) return of_fields(root, field.nested, own);
  return Filter(std::make_shared<const FilterNode>(
      FilterNode{Test::content, own, {}, nullptr, nullptr, {root, &field}}));
}

}  // namespace
}  // namespace detail

Filter ContentPattern::filter() const { return detail::of_fields(root_, *root_, ""); }

Result<BoundFilter> Filter::bind(const TypeInfo& type) const {
  WISP_TRY(auto bound, detail::bind(*root_, type));
  bound->keep = root_;
  return BoundFilter(std::move(bound));
}

bool Filter::matches(const TypeInfo& type, const void* object) const {
  return detail::matches(*root_, type, object);
}

bool BoundFilter::matches(const void* object) const { return detail::matches(*root_, object); }

Filter FieldName::equals(Operand value) const {
  return condition(Test::equals, path_, {std::move(value)});
}
Filter FieldName::not_equals(Operand value) const {
  return condition(Test::not_equals, path_, {std::move(value)});
}
Filter FieldName::less_than(Operand value) const {
  return condition(Test::less_than, path_, {std::move(value)});
}
Filter FieldName::at_most(Operand value) const {
  return condition(Test::at_most, path_, {std::move(value)});
}
Filter FieldName::greater_than(Operand value) const {
  return condition(Test::greater_than, path_, {std::move(value)});
}
Filter FieldName::at_least(Operand value) const {
  return condition(Test::at_least, path_, {std::move(value)});
}
Filter FieldName::one_of(std::initializer_list<Operand> values) const {
  return condition(Test::one_of, path_, values);
}
Filter FieldName::starts_with(std::string_view text) const {
  return condition(Test::starts_with, path_, {text});
}
Filter FieldName::ends_with(std::string_view text) const {
  return condition(Test::ends_with, path_, {text});
}
Filter FieldName::contains(std::string_view text) const {
  return condition(Test::contains, path_, {text});
}
Filter FieldName::exists() const { return condition(Test::exists, path_, {}); }

}  // namespace wisp::inline v0
