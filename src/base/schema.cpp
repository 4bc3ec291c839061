#include <wisp/base/schema.hpp>

#include <algorithm>

#include <absl/strings/ascii.h>
#include <fmt/format.h>

namespace wisp::inline v0 {

void Schema::simple(std::string_view type) {
  to_.begin_object();
  member("type", type);
  to_.end_object();
}

void Schema::refer(std::string_view name, Define definition) {
  auto found =
      std::find_if(definitions_.begin(), definitions_.end(),
                   [definition](const Definition& each) { return each.define == definition; });
  if (found == definitions_.end()) {
    // As OpenAPI wants the names of components, which fit into a reference as they are.
    std::string own(name);
    for (char& each : own)
      if (!absl::ascii_isalnum(static_cast<unsigned char>(each)) && each != '.' && each != '-')
        each = '_';
    const std::string plain = own;
    const auto taken = [&](const Definition& each) { return each.name == own; };
    for (int n = 2; std::any_of(definitions_.begin(), definitions_.end(), taken); ++n)
      own = fmt::format("{}_{}", plain, n);
    found = definitions_.insert(definitions_.end(), {std::move(own), definition});
  }
  to_.begin_object();
  member("$ref", fmt::format("{}{}", references_, found->name));
  to_.end_object();
}

void Schema::define(std::string_view name) {
  if (definitions_.empty()) return;
  to_.name(name);
  to_.begin_object();
  // Each may refer to more.
  for (std::size_t i = 0; i < definitions_.size(); ++i) {
    to_.name(definitions_[i].name);
    definitions_[i].define(*this);
  }
  to_.end_object();
}

}  // namespace wisp::inline v0
