#include <string>

#include "catch.hpp"
#include "http/dispatcher.hpp"

TEST_CASE("documents: metrics name functions so that any pattern can be read", "[documents]") {
  const auto of = [](std::string_view name) {
    wisp::RuntimeStats stats;
    stats.functions.push_back({.name = std::string(name), .version = 1});
    return wisp::http::metrics(stats, {});
  };
  const auto has = [](const std::string& text, std::string_view sample) {
    return text.find(sample) != text.npos;
  };
  CHECK(has(of("price"), "wisp_calls_total{function=\"price\",version=\"1\"} 0\n"));
  CHECK(has(of(R"(on by."a\b".*)"),
            R"(wisp_calls_total{function="on by.\"a\\b\".*",version="1"} 0)"));
  CHECK(has(of("on caf\u00e9"), "{function=\"on caf\u00e9\",version=\"1\"}"));
  CHECK(has(of("on caf\xe9"), "{function=\"on caf?\",version=\"1\"}"));
}
