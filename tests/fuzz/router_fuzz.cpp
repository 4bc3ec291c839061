// Routes and targets, by lines: '+' adds a route of GET, '-' one of POST, anything else is the
// target of a request. What is found is what trying every pattern, segment by segment, finds.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <wisp/base/status.hpp>

#include "http/router.hpp"
#include "http/target.hpp"

namespace {

using wisp::http::RouteMatch;
using wisp::http::Router;

void require(bool holds) {
  if (!holds) std::abort();
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == text.npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool is_parameter(std::string_view segment) { return segment.starts_with('{'); }

// The values of the parameters, if the pattern is one of this path.
bool matches(std::string_view pattern, std::string_view path,
             std::vector<std::string_view>& values) {
  const auto wanted = split(pattern, '/');
  const auto had = split(path, '/');
  values.clear();
  if (wanted.size() != had.size()) return false;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (is_parameter(wanted[i])) {
      if (had[i].empty()) return false;
      values.push_back(had[i]);
    } else if (wanted[i] != had[i]) {
      return false;
    }
  }
  return true;
}

struct Route {
  std::string method;
  std::string pattern;
};

// Of two that match one path: the one that has a literal where the first of them has a parameter.
bool goes_before(std::string_view one, std::string_view other) {
  const auto a = split(one, '/');
  const auto b = split(other, '/');
  for (std::size_t i = 0; i < a.size(); ++i)
    if (is_parameter(a[i]) != is_parameter(b[i])) return is_parameter(b[i]);
  return false;
}

void check(const Router& router, const std::vector<Route>& routes, std::string_view method,
           std::string_view path) {
  const RouteMatch found = router.find(method, path);
  int expected = -1;
  bool known = false;
  std::vector<std::string_view> values;
  for (std::size_t i = 0; i < routes.size(); ++i) {
    if (!matches(routes[i].pattern, path, values)) continue;
    known = true;
    const bool takes =
        routes[i].method == method || (method == "HEAD" && routes[i].method == "GET");
    if (takes && (expected < 0 || goes_before(routes[i].pattern,
                                              routes[static_cast<std::size_t>(expected)].pattern)))
      expected = static_cast<int>(i);
  }
  require(found.route == expected);
  if (expected < 0) {
    require(found.known_path == known && found.allow.empty() != known && found.values.empty());
    return;
  }
  require(matches(routes[static_cast<std::size_t>(expected)].pattern, path, values));
  require(std::equal(values.begin(), values.end(), found.values.begin(), found.values.end()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Router router;
  std::vector<Route> routes;
  for (std::string_view line : split({reinterpret_cast<const char*>(data), size}, '\n')) {
    const char verb = line.empty() ? ' ' : line.front();
    if (verb == '+' || verb == '-') {
      line.remove_prefix(1);
      const std::string_view method = verb == '+' ? "GET" : "POST";
      if (routes.size() == 32) continue;
      const wisp::Status added = router.add(method, line, static_cast<int>(routes.size()));
      if (added.ok()) routes.push_back({std::string(method), std::string(line)});
      continue;
    }
    wisp::http::Head head;
    head.method = "GET";
    head.target = line;
    wisp::http::Target target;
    if (wisp::http::parse_target(head, target)) continue;
    require(target.path.starts_with('/'));
    for (const std::string_view method : {"GET", "HEAD", "POST", "PUT"})
      check(router, routes, method, target.path);
    wisp::http::Parameters parameters;
    (void)wisp::http::parse_query(target.query, parameters);
    require(parameters.size() <= wisp::http::kParametersMax);
  }
  return 0;
}
