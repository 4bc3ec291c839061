#include "target.hpp"

#include <algorithm>

#include <wisp/base/text.hpp>

namespace wisp::inline v0::http {
namespace {

// Appends what `text` encodes; false: a percent sign without two digits.
bool decode(std::string_view text, bool form, std::string& to) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      to += form && text[i] == '+' ? ' ' : text[i];
      continue;
    }
    if (text.size() - i < 3) return false;
    const int high = hex_digit(text[i + 1]);
    const int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return false;
    to += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return true;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

Rejection check_segment(std::string_view decoded) {
  if (decoded == "." || decoded == "..") return {400, "a dot segment in the path"};
  if (decoded.find_first_of("/\\") != decoded.npos)
    return {400, "a slash within a segment of the path"};
  if (std::any_of(decoded.begin(), decoded.end(), is_control))
    return {400, "a control character in the path"};
  if (!wisp::detail::is_utf8(decoded)) return {400, "the path is no UTF-8"};
  return {};
}

Rejection parse_path(std::string_view path, Target& to) {
  const bool encoded = path.find('%') != path.npos;
  to.path = path;
  if (encoded) to.decoded.reserve(path.size());
  std::string segment;
  for (std::string_view rest = path; !rest.empty();) {
    rest.remove_prefix(1);  // the slash
    const std::size_t end = std::min(rest.find('/'), rest.size());
    std::string_view text = rest.substr(0, end);
    rest.remove_prefix(end);
    if (encoded) {
      segment.clear();
      if (!decode(text, false, segment)) return {400, "a percent sign without two digits"};
      text = segment;
      to.decoded += '/';
      to.decoded += text;
    }
    if (const Rejection rejected = check_segment(text)) return rejected;
  }
  if (encoded) to.path = to.decoded;
  return {};
}

// Of the absolute form: what follows scheme and authority.
Rejection strip_authority(const Head& head, std::string_view& target) {
  const std::size_t scheme = target.find("://");
  if (scheme == target.npos) return {400, "a target that is none"};
  if (!same_name(target.substr(0, scheme), "http") && !same_name(target.substr(0, scheme), "https"))
    return {400, "a target of another scheme"};
  target.remove_prefix(scheme + 3);
  const std::size_t end = std::min(target.find_first_of("/?"), target.size());
  if (end == 0 || target.substr(0, end).find('@') != target.npos)
    return {400, "a target whose host is none"};
  // HTTP/1.0 has no Host.
  if ((!head.host.empty() || head.minor > 0) && !same_name(target.substr(0, end), head.host))
    return {400, "a target of another host than Host"};
  target.remove_prefix(end);
  return {};
}

}  // namespace

Rejection parse_target(const Head& head, Target& to) {
  std::string_view target = head.target;
  if (target == "*" && head.method == "OPTIONS") {
    to.path = target;
    return {};
  }
  if (head.method == "CONNECT") return {501, "no tunnels here"};
  for (const char c : target) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7f || c == '#' || c == '"' || c == '<' || c == '>')
      return {400, "a character in the target that has to be encoded"};
  }
  if (!target.starts_with('/')) {
    if (const Rejection rejected = strip_authority(head, target)) return rejected;
  }
  const std::size_t mark = std::min(target.find('?'), target.size());
  to.query = target.substr(std::min(mark + 1, target.size()));
  std::string_view path = target.substr(0, mark);
  if (path.empty()) path = "/";
  return parse_path(path, to);
}

Rejection parse_query(std::string_view query, Parameters& to) {
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view part = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (part.empty()) continue;
    if (to.size() == kParametersMax) return {400, "more parameters than allowed"};
    const std::size_t sign = std::min(part.find('='), part.size());
    auto& [name, value] = to.emplace_back();
    if (!decode(part.substr(0, sign), true, name) ||
        !decode(part.substr(std::min(sign + 1, part.size())), true, value))
      return {400, "a percent sign without two digits"};
    if (!wisp::detail::is_utf8(name) || !wisp::detail::is_utf8(value))
      return {400, "the query is no UTF-8"};
    if (name.find('\0') != name.npos || value.find('\0') != value.npos)
      return {400, "a NUL in the query"};
  }
  return {};
}

}  // namespace wisp::inline v0::http
