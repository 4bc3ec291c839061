#include "http/router.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "catch.hpp"
#include "seeds.hpp"

namespace {

using wisp::http::RouteMatch;
using wisp::http::Router;

std::string_view refusal(wisp::Status& status, std::string_view pattern) {
  status = Router().add("GET", pattern, 1);
  return wisp::message(status);
}

// By its definition: segment by segment.
bool matches(std::string_view pattern, std::string_view path) {
  while (!pattern.empty() && !path.empty()) {
    const std::size_t a = std::min(pattern.find('/', 1), pattern.size());
    const std::size_t b = std::min(path.find('/', 1), path.size());
    const std::string_view wanted = pattern.substr(0, a);
    const bool parameter = wanted.starts_with("/{");
    if (parameter ? b == 1 : wanted != path.substr(0, b)) return false;
    pattern.remove_prefix(a);
    path.remove_prefix(b);
  }
  return pattern.empty() && path.empty();
}

}  // namespace

TEST_CASE("router: a literal goes before a parameter", "[router]") {
  Router router;
  REQUIRE(router.add("GET", "/notes/{id}", 1).ok());
  REQUIRE(router.add("GET", "/notes/latest", 2).ok());
  REQUIRE(router.add("GET", "/{kind}/{id}/parts/{part}", 3).ok());
  REQUIRE(router.add("POST", "/notes/latest", 4).ok());
  CHECK(wisp::message(router.add("PUT", "/notes/{name}", 9)) ==
        "route 'PUT /notes/{name}': other methods of this shape are at '/notes/{id}'");
  REQUIRE(router.add("GET", "/", 5).ok());
  CHECK(router.find("GET", "/notes/latest").route == 2);
  CHECK(router.find("GET", "/").route == 5);
  const RouteMatch note = router.find("GET", "/notes/47");
  CHECK(note.route == 1);
  REQUIRE(note.values.size() == 1);
  CHECK(note.values[0] == "47");
  const RouteMatch part = router.find("HEAD", "/notes/47/parts/a b");
  CHECK(part.route == 3);
  REQUIRE(part.values.size() == 3);
  CHECK(part.values[2] == "a b");
  for (const std::string_view none :
       {"/notes", "/notes/", "/notes/47/", "//", "/notes//parts/x", "*"})
    CHECK(router.find("GET", none).route == -1);
  const RouteMatch other = router.find("DELETE", "/notes/latest");
  CHECK(other.route == -1);
  CHECK(other.known_path);
  CHECK(other.allow == "GET, HEAD, POST");
  CHECK_FALSE(router.find("DELETE", "/x").known_path);
}

TEST_CASE("router: a pattern that is none is refused", "[router]") {
  wisp::Status status;
  CHECK(refusal(status, "") == "route '': a path begins with a slash");
  CHECK(refusal(status, "a/b") == "route 'a/b': a path begins with a slash");
  CHECK(refusal(status, "/{a-b}") == "route '/{a-b}': 'a-b' is no name of a parameter");
  CHECK(refusal(status, "/{a}x") == "route '/{a}x': '{a}x' is neither text nor one parameter");
  CHECK(refusal(status, "/{}") == "route '/{}': '{}' is neither text nor one parameter");
  CHECK(refusal(status, "/a/../b") == "route '/a/../b': no request has '..' in its path");
  CHECK(refusal(status, "/a?b") == "route '/a?b': 'a?b' is neither text nor one parameter");
  std::string deep;
  for (int i = 0; i < 33; ++i) deep += "/x";
  CHECK(refusal(status, deep).ends_with("more than 32 segments"));
  CHECK(refusal(status, deep.substr(2)).empty());
}

TEST_CASE("router: finds a route if and only if a pattern matches", "[router]") {
  for (int seed = 1; seed <= wisp::test::test_seeds(); ++seed) {
    INFO("seed " << seed);
    wisp::test::Seeded random(seed);
    const auto path = [&](bool pattern) {
      std::string made;
      for (auto n = 1 + random.below(4); n > 0; --n) {
        made += '/';
        const auto kind = random.below(pattern ? 4 : 3);
        if (kind == 3) made += "{p" + std::to_string(n) + "}";
        else if (kind > 0) made += kind == 1 ? "a" : "b";
      }
      return made;
    };
    Router router;
    std::vector<std::string> patterns;
    for (int i = 0; i < 8; ++i) {
      const std::string pattern = path(true);
      if (router.add("GET", pattern, static_cast<int>(patterns.size())).ok())
        patterns.push_back(pattern);
    }
    for (int i = 0; i < 40; ++i) {
      const std::string asked = path(false);
      INFO(asked);
      const RouteMatch found = router.find("GET", asked);
      const bool any = std::any_of(patterns.begin(), patterns.end(),
                                   [&](const std::string& each) { return matches(each, asked); });
      CHECK((found.route >= 0) == any);
      if (found.route >= 0) CHECK(matches(patterns[static_cast<std::size_t>(found.route)], asked));
    }
  }
}
