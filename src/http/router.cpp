#include "router.hpp"

#include <algorithm>
#include <functional>
#include <map>

namespace wisp::inline v0::http {
namespace {

// The first segment of "/a/b", which keeps "/b".
std::string_view take_segment(std::string_view& rest) {
  rest.remove_prefix(1);
  const std::size_t end = std::min(rest.find('/'), rest.size());
  const std::string_view segment = rest.substr(0, end);
  rest.remove_prefix(end);
  return segment;
}

bool is_parameter(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

bool is_name(std::string_view name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return !name.empty() && (letter(name[0]) || name[0] == '_') &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '_'; });
}

Status check(std::string_view pattern) {
  if (!pattern.starts_with('/'))
    return invalid_argument("route '{}': a path begins with a slash", pattern);
  std::vector<std::string_view> names;
  std::size_t segments = 0;
  for (std::string_view rest = pattern; !rest.empty();) {
    const std::string_view segment = take_segment(rest);
    if (++segments > kSegmentsMax)
      return invalid_argument("route '{}': more than {} segments", pattern, kSegmentsMax);
    if (is_parameter(segment)) {
      const std::string_view name = segment.substr(1, segment.size() - 2);
      if (!is_name(name))
        return invalid_argument("route '{}': '{}' is no name of a parameter", pattern, name);
      if (std::find(names.begin(), names.end(), name) != names.end())
        return invalid_argument("route '{}': has the parameter '{}' twice", pattern, name);
      names.push_back(name);
      continue;
    }
    if (segment == "." || segment == "..")
      return invalid_argument("route '{}': no request has '{}' in its path", pattern, segment);
    if (segment.find_first_of("{}?#%\\ ") != segment.npos)
      return invalid_argument("route '{}': '{}' is neither text nor one parameter", pattern,
                              segment);
  }
  return Status();
}

}  // namespace

struct Router::Node {
  std::map<std::string, std::unique_ptr<Node>, std::less<>> literals;
  std::unique_ptr<Node> parameter;
  std::vector<std::pair<std::string, int>> methods;  // of the path that ends here
  std::string pattern;                               // theirs
};

Router::Router() : root_(std::make_unique<Node>()) {}
Router::~Router() = default;
Router::Router(Router&&) noexcept = default;
Router& Router::operator=(Router&&) noexcept = default;

Status Router::add(std::string_view method, std::string_view pattern, int route) {
  WISP_TRY(check(pattern));
  Node* node = root_.get();
  for (std::string_view rest = pattern; !rest.empty();) {
    const std::string_view segment = take_segment(rest);
    std::unique_ptr<Node>& next =
        is_parameter(segment) ? node->parameter : node->literals[std::string(segment)];
    if (next == nullptr) next = std::make_unique<Node>();
    node = next.get();
  }
  for (const auto& [other, taken] : node->methods)
    if (other == method)
      return already_exists("route '{} {}': there is another one of this shape", method, pattern);
  if (node->methods.empty()) node->pattern = pattern;
  // A document of them would have two paths that are one.
  if (node->pattern != pattern)
    return already_exists("route '{} {}': other methods of this shape are at '{}'", method, pattern,
                          node->pattern);
  node->methods.emplace_back(method, route);
  return Status();
}

RouteMatch Router::find(std::string_view method, std::string_view path) const {
  RouteMatch match;
  if (path.starts_with('/')) find(*root_, path, method, match);
  if (match.route < 0) match.values.clear();
  return match;
}

// Each node is looked at once at most: it has one way to it, and takes one segment.
bool Router::find(const Node& node, std::string_view rest, std::string_view method,
                  RouteMatch& match) const {
  if (rest.empty()) {
    for (const auto& [own, route] : node.methods) {
      if (own != method && !(method == "HEAD" && own == "GET")) continue;
      match.route = route;
      return true;
    }
    for (const auto& [own, route] : node.methods) {
      match.known_path = true;
      if (match.allow.find(own) != match.allow.npos) continue;
      match.allow += (match.allow.empty() ? "" : ", ") + own;
      if (own == "GET") match.allow += ", HEAD";
    }
    return false;
  }
  const std::string_view segment = take_segment(rest);
  if (const auto found = node.literals.find(segment);
      found != node.literals.end() && find(*found->second, rest, method, match))
    return true;
  if (node.parameter == nullptr || segment.empty()) return false;
  match.values.push_back(segment);
  if (find(*node.parameter, rest, method, match)) return true;
  match.values.pop_back();
  return false;
}

std::vector<std::string> parameters_of(std::string_view pattern) {
  std::vector<std::string> names;
  for (std::string_view rest = pattern; !rest.empty();) {
    const std::string_view segment = take_segment(rest);
    if (is_parameter(segment)) names.emplace_back(segment.substr(1, segment.size() - 2));
  }
  return names;
}

}  // namespace wisp::inline v0::http
