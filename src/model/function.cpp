#include <wisp/model/function.hpp>

#include <fmt/format.h>

namespace wisp::inline v0::detail {

std::string Definition::place() const {
  return fmt::format("{}:{}", where.file_name(), where.line());
}

std::string signature(const Definition& definition) {
  return fmt::format("{} -> {}", definition.in == nullptr ? "()" : definition.in->name(),
                     definition.out == nullptr ? "void" : definition.out->name());
}

}  // namespace wisp::inline v0::detail
