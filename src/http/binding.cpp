#include "binding.hpp"

#include <algorithm>
#include <charconv>

namespace wisp::inline v0::http {
namespace {

Value text_value(std::string_view text) {
  return {.kind = ValueKind::text,
          .size = static_cast<std::uint32_t>(text.size()),
          .text = text.data()};
}

// A number as JSON writes it, else the text: the codec says then what it expected.
Value number_value(std::string_view text) {
  const char* const end = text.data() + text.size();
  std::int64_t integer = 0;
  if (const auto [at, error] = std::from_chars(text.data(), end, integer);
      error == std::errc() && at == end)
    return {.kind = ValueKind::integer, .size = 0, .integer = integer};
  std::uint64_t natural = 0;
  if (const auto [at, error] = std::from_chars(text.data(), end, natural);
      error == std::errc() && at == end)
    return {.kind = ValueKind::natural, .size = 0, .natural = natural};
  double real = 0;
  const bool digit = !text.empty() && text.find_first_not_of("0123456789+-.eE") == text.npos;
  if (const auto [at, error] = std::from_chars(text.data(), end, real);
      digit && error == std::errc() && at == end)
    return {.kind = ValueKind::real, .size = 0, .real = real};
  return text_value(text);
}

Value scalar_value(FieldKind kind, std::string_view text) {
  if (kind == FieldKind::number) return number_value(text);
  if (kind == FieldKind::boolean && (text == "true" || text == "false"))
    return {.kind = ValueKind::boolean, .size = 0, .boolean = text == "true"};
  return text_value(text);
}

FieldKind element_of(const TypeInfo& type, std::span<const detail::ParameterInfo> fields,
                     const FieldInfo* field) {
  const auto index =
      field == nullptr ? fields.size() : static_cast<std::size_t>(field - type.fields.data());
  return index < fields.size() ? fields[index].element : FieldKind::text;
}

// What an input that has no fields is, by its name on the wire.
FieldKind kind_of(const TypeInfo& type) {
  if (type.wire_name == "bool") return FieldKind::boolean;
  return type.wire_name == "string" ? FieldKind::text : FieldKind::number;
}

}  // namespace

const Value* Bound::root() const {
  if (!values_.empty()) return values_.data();
  return body_ ? &body_->root() : nullptr;
}

Result<Binding> Binding::make(const TypeInfo* type, std::span<const std::string> parameters,
                              std::span<const detail::ParameterInfo> fields,
                              std::string_view caller) {
  Binding made;
  made.type_ = type;
  made.fields_ = fields;
  made.caller_ = caller;
  if (!caller.empty()) {
    const FieldInfo* const field = type == nullptr ? nullptr : find_field(*type, caller);
    if (field == nullptr || field->kind != FieldKind::text)
      return invalid_argument("the caller '{}' is no text among the fields of its input", caller);
    if (std::find(parameters.begin(), parameters.end(), caller) != parameters.end())
      return invalid_argument("the caller '{}' is a parameter of the path", caller);
  }
  made.names_.assign(parameters.begin(), parameters.end());
  if (type == nullptr) return made;
  if (type->fields.empty() && parameters.size() == 1 && !type->wire_name.empty()) return made;
  for (const std::string& each : parameters) {
    const FieldInfo* const field = find_field(*type, each);
    if (field == nullptr)
      return invalid_argument("the parameter '{}' is no field of {}", each, type->name());
    if (field->kind == FieldKind::object || field->kind == FieldKind::other)
      return invalid_argument("the parameter '{}' of {} is neither a text nor a number", each,
                              type->name());
  }
  return made;
}

void Binding::add(std::string_view name, std::string_view text, std::vector<Value>& to) const {
  const FieldInfo* const field = find_field(*type_, name);
  to.push_back(text_value(name));
  to.push_back(scalar_value(field == nullptr ? FieldKind::text : field->kind, text));
}

// One that is there more than once, or whose field holds many, is an array.
Status Binding::add_query(std::string_view query, Bound& to, std::uint32_t& members) const {
  if (const Rejection rejected = parse_query(query, to.query_))
    return invalid_argument("{}", rejected.what);
  const Parameters& all = to.query_;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto same = [&](const auto& each) { return each.first == all[i].first; };
    const auto begin = all.begin();
    if (std::any_of(begin, begin + static_cast<std::ptrdiff_t>(i), same)) continue;
    const auto count = std::count_if(begin, all.end(), same);
    const FieldInfo* const field = find_field(*type_, all[i].first);
    const FieldKind kind = element_of(*type_, fields_, field);
    const bool many =
        field != nullptr && field->kind == FieldKind::other && kind != FieldKind::other;
    ++members;
    if (count == 1 && !many) {
      add(all[i].first, all[i].second, to.values_);
      continue;
    }
    to.values_.push_back(text_value(all[i].first));
    to.values_.push_back({.kind = ValueKind::array,
                          .size = static_cast<std::uint32_t>(count),
                          .length = static_cast<std::uint64_t>(count) + 1});
    for (std::size_t j = i; j < all.size(); ++j)
      if (same(all[j])) to.values_.push_back(scalar_value(kind, all[j].second));
  }
  return Status();
}

// What comes from the path or from who calls comes from nowhere else, whatever the codec thinks of
// a member that is there twice.
Status Binding::check_members(const Bound& from, bool by_path) const {
  const auto settled = [&](std::string_view name) {
    return (!caller_.empty() && name == caller_) ||
           (by_path && std::find(names_.begin(), names_.end(), name) != names_.end());
  };
  for (const auto& [name, value] : from.query_)
    if (settled(name)) return invalid_argument("{}: is there twice", name);
  if (!from.body_ || from.body_->root().kind != ValueKind::object) return Status();
  const Value* member = &from.body_->root() + 1;
  for (std::uint32_t i = 0; i < from.body_->root().size; ++i, member = (member + 1)->next())
    if (settled(member->view())) return invalid_argument("{}: is there twice", member->view());
  return Status();
}

Status Binding::bind(std::span<const std::string_view> path, std::string_view query,
                     std::string_view body, std::string_view caller, Bound& to) const {
  if (type_ == nullptr) return Status();
  if (!body.empty()) {
    auto document = json::Document::parse(body, {.bytes = json::kBytesMax});
    // Beyond a limit too: it is not for later, and another time would be no better.
    if (!document.ok()) return invalid_argument("{}", message(document.status()));
    to.body_.emplace(*std::move(document));
  }
  if (path.empty() && query.empty() && caller_.empty()) {
    // A function of fields alone may go without a body.
    if (!to.body_ && !type_->fields.empty())
      to.values_.push_back({.kind = ValueKind::object, .size = 0, .length = 1});
    return Status();
  }
  if (type_->fields.empty()) {
    if (to.body_ || !query.empty())
      return invalid_argument("the request has more than the one value of its path");
    to.values_.push_back(scalar_value(kind_of(*type_), path[0]));
    return Status();
  }
  std::uint32_t members = 0;
  to.values_.push_back({});
  if (!caller_.empty()) {
    add(caller_, caller, to.values_);
    ++members;
  }
  for (std::size_t i = 0; i < path.size(); ++i, ++members) add(names_[i], path[i], to.values_);
  WISP_TRY(add_query(query, to, members));
  WISP_TRY(check_members(to, !path.empty()));
  if (to.body_) {
    const Value& root = to.body_->root();
    if (root.kind != ValueKind::object) return invalid_argument("the body is no object");
    to.values_.insert(to.values_.end(), &root + 1, root.next());
    members += root.size;
  }
  to.values_.front() = {.kind = ValueKind::object, .size = members, .length = to.values_.size()};
  return Status();
}

}  // namespace wisp::inline v0::http
