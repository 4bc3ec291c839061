// Bytes are refused or read; what was read and is written is read again, and is the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <wisp/base/codec_containers.hpp>
#include <wisp/json/json.hpp>

namespace {

struct Leaf {
  std::optional<double> real;
  std::optional<std::int32_t> whole;
  std::optional<std::string> text;
};
WISP_FIELDS(Leaf, real, whole, text)

struct Tree {
  std::optional<std::variant<std::monostate, Leaf>> leaf;
  std::optional<std::vector<Tree>> children;
  std::optional<std::map<std::string, std::uint8_t>> counts;
};
WISP_FIELDS(Tree, leaf, children, counts)

// All of a document, as it stands.
const wisp::Value* copy(const wisp::Value* from, wisp::Writer& to) {
  const wisp::Value& value = *from++;
  switch (value.kind) {
    case wisp::ValueKind::null:
      to.null();
      break;
    case wisp::ValueKind::boolean:
      to.boolean(value.boolean);
      break;
    case wisp::ValueKind::integer:
      to.integer(value.integer);
      break;
    case wisp::ValueKind::natural:
      to.natural(value.natural);
      break;
    case wisp::ValueKind::real:
      to.real(value.real);
      break;
    case wisp::ValueKind::text:
      to.text(value.view());
      break;
    case wisp::ValueKind::array:
      to.begin_array();
      for (std::uint32_t i = 0; i < value.size; ++i) from = copy(from, to);
      to.end_array();
      break;
    case wisp::ValueKind::object:
      to.begin_object();
      for (std::uint32_t i = 0; i < value.size; ++i) {
        to.name(from->view());
        from = copy(from + 1, to);
      }
      to.end_object();
      break;
  }
  return from;
}

std::string copied(const wisp::json::Document& document) {
  std::string text;
  wisp::json::TextWriter to(text);
  const wisp::Value& root = document.root();
  if (copy(&root, to) != root.next()) std::abort();
  return text;
}

void check_same(std::string_view text) {
  const auto document = wisp::json::Document::parse(text);
  if (!document.ok()) return;
  const std::string once = copied(*document);
  const auto again = wisp::json::Document::parse(once, {.bytes = 16U << 20U});
  if (!again.ok() || copied(*again) != once) std::abort();
}

void check_tree(std::string_view text) {
  const auto tree = wisp::json::read<Tree>(text, {.unknown = wisp::UnknownMembers::ignore});
  if (!tree.ok()) return;
  const std::string once = wisp::json::write(*tree);
  const auto again = wisp::json::read<Tree>(once);
  if (!again.ok() || wisp::json::write(*again) != once) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_same(text);
  check_tree(text);
  return 0;
}
