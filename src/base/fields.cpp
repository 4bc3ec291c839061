#include <wisp/base/fields.hpp>

#include <algorithm>

namespace wisp::inline v0 {

std::string_view to_string(FieldKind kind) {
  constexpr std::string_view kNames[] = {"boolean", "number", "text", "object", "other"};
  return kNames[static_cast<int>(kind)];
}

bool detail::same_across_images(const TypeInfo& a, const TypeInfo& b) {
  if (a.wire_name.empty() || a.wire_name != b.wire_name || a.spelled_name != b.spelled_name ||
      a.size != b.size || a.alignment != b.alignment)
    return false;
  const auto same_field = [](const FieldInfo& x, const FieldInfo& y) {
    const bool same_types =
        x.type == y.type || (x.type != nullptr && y.type != nullptr && same_type(*x.type, *y.type));
    return x.name == y.name && x.kind == y.kind && same_types;
  };
  return std::equal(a.fields.begin(), a.fields.end(), b.fields.begin(), b.fields.end(), same_field);
}

const FieldInfo* find_field(const TypeInfo& type, std::string_view name) {
  for (const FieldInfo& field : type.fields) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

}  // namespace wisp::inline v0
