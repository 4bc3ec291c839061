// Which route a path takes. "/notes/{id}" has literal segments and parameters of one segment; a
// literal goes before a parameter.
//
//   Router router;
//   WISP_TRY(router.add("GET", "/notes/{id}", 7));
//   router.find("GET", "/notes/4711").route        // 7, with values {"4711"}
//
// Threads: value.
#pragma once

#include <absl/container/inlined_vector.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <wisp/base/status.hpp>

namespace wisp::inline v0::http {

inline constexpr std::size_t kSegmentsMax = 32;  // of a pattern

struct RouteMatch {
  int route = -1;                                     // -1: none
  bool known_path = false;                            // other methods have it
  std::string allow{};                                // those, "GET, HEAD", if this one has not
  absl::InlinedVector<std::string_view, 4> values{};  // of the parameters, in their order
};

class Router {
 public:
  Router();
  ~Router();
  Router(Router&&) noexcept;
  Router& operator=(Router&&) noexcept;

  // kInvalidArgument: no pattern. kAlreadyExists: another one of this shape has the method, or
  // names its parameters otherwise.
  Status add(std::string_view method, std::string_view pattern, int route);

  // HEAD takes the route of GET. `path` is decoded.
  RouteMatch find(std::string_view method, std::string_view path) const;

 private:
  struct Node;
  bool find(const Node& node, std::string_view rest, std::string_view method,
            RouteMatch& match) const;

  std::unique_ptr<Node> root_;
};

// The names of a pattern's parameters, in their order.
std::vector<std::string> parameters_of(std::string_view pattern);

}  // namespace wisp::inline v0::http
