#include <wisp/model/function.hpp>

#include <fmt/format.h>
#include <wisp/base/allocations.hpp>

namespace wisp::inline v0::detail {

std::string Definition::place() const {
  return fmt::format("{}:{}", where.file_name(), where.line());
}

std::shared_ptr<const Definition> define(Definition* made, void (*destroy)(const Definition*),
                                         std::string_view name, const FunctionOptions& options,
                                         const std::source_location& where) {
  const std::shared_ptr<Definition> definition(made, destroy);
  definition->name = options.name.empty() ? name : options.name;
  definition->options = options;
  definition->options.name = {};
  // Each call has its own allocations, so that none may be counted and no more.
  if (alloc_meter_linked && options.meter == Meter::sampled)
    definition->options.meter = Meter::batched;
  definition->where = where;
  return definition;
}

std::string signature(const Definition& definition) {
  return fmt::format("{} -> {}", definition.in == nullptr ? "()" : definition.in->name(),
                     definition.out == nullptr ? "void" : definition.out->name());
}

}  // namespace wisp::inline v0::detail
