#include <wisp/base/type_name.hpp>

#include <string>
#include <vector>

#include <wisp/base/money.hpp>
#include <wisp/base/status.hpp>

#include "catch.hpp"

// Names that end as an inline namespace of wisp or of the standard library does, and are none.
namespace my_wisp::v0 {
struct Order {};
}  // namespace my_wisp::v0
namespace outer::wisp::v0 {
struct Order {};
}  // namespace outer::wisp::v0

using wisp::detail::inline_namespace;
using wisp::detail::type_name;

static_assert(type_name<double>() == "double");
static_assert(type_name<wisp::Money>() == "wisp::Money");

TEST_CASE("type_name: leaves inline namespaces out, on every compiler", "[type_name]") {
  CHECK(type_name<int>() == "int");
  CHECK(type_name<wisp::Result<wisp::Money>>().find("v0::") == std::string_view::npos);
  CHECK(type_name<wisp::Result<wisp::Money>>().find("<wisp::Money>") != std::string_view::npos);
  const std::string_view list = type_name<std::vector<wisp::Money>>();
  CHECK(list.substr(0, 24) == "std::vector<wisp::Money>");
  CHECK(type_name<std::string>().substr(0, 17) == "std::basic_string");
}

TEST_CASE("type_name: keeps what a user wrote", "[type_name]") {
  CHECK(type_name<my_wisp::v0::Order>() == "my_wisp::v0::Order");
  CHECK(type_name<outer::wisp::v0::Order>() == "outer::wisp::v0::Order");
  CHECK(inline_namespace("wisp::v0::", "wisp::", "v0::") == 4);
  CHECK(inline_namespace("const wisp::v0::", "wisp::", "v0::") == 4);
  CHECK(inline_namespace("list<wisp::v0::", "wisp::", "v0::") == 4);
  CHECK(inline_namespace("v0::", "wisp::", "v0::") == 0);
  CHECK(inline_namespace("_wisp::v0::", "wisp::", "v0::") == 0);
  CHECK(inline_namespace("::wisp::v0::", "wisp::", "v0::") == 0);
}
