// A request's path, query and body as one value for a codec.
//
//   Binding binding(type, parameters_of("/notes/{id}"));      // at registration
//   Bound bound;
//   WISP_TRY(binding.bind(match.values, query, body, bound));  // at each request
//   Reader reader(bound.root(), "", unknown);
//
// Threads: value.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/fields.hpp>
#include <wisp/base/status.hpp>
#include <wisp/base/value.hpp>
#include <wisp/http/detail/endpoint.hpp>
#include <wisp/json/json.hpp>

#include "target.hpp"

namespace wisp::inline v0::http {

// One request's input, and the texts that it refers to. The path, the body and the caller outlive
// it.
class Bound {
 public:
  // Null: the request has none.
  const Value* root() const;

 private:
  friend class Binding;
  Parameters query_;
  std::optional<json::Document> body_;
  std::vector<Value> values_;
};

class Binding {
 public:
  // Of a function whose input is of that type; null: it has none, or takes the request as it is.
  // kInvalidArgument for a parameter that the input lacks.
  // `fields`: its own, see Endpoint; outlives this. `caller`: the field that is who calls.
  static Result<Binding> make(const TypeInfo* type, std::span<const std::string> parameters,
                              std::span<const detail::ParameterInfo> fields = {},
                              std::string_view caller = {});

  // kInvalidArgument says what is wrong with the body. What is wrong with single fields the codec
  // finds.
  Status bind(std::span<const std::string_view> path, std::string_view query, std::string_view body,
              std::string_view caller, Bound& to) const;

 private:
  void add(std::string_view name, std::string_view text, std::vector<Value>& to) const;
  Status add_query(std::string_view query, Bound& to, std::uint32_t& members) const;
  Status check_members(const Bound& from, bool by_path) const;

  const TypeInfo* type_ = nullptr;
  std::span<const detail::ParameterInfo> fields_;
  std::string caller_;
  std::vector<std::string> names_;  // of the path's parameters
};

}  // namespace wisp::inline v0::http
