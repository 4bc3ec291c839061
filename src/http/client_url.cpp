#include "client_url.hpp"

#include <algorithm>
#include <charconv>
#include <vector>

#include <fmt/format.h>

#include "head.hpp"

namespace wisp::inline v0::http {
namespace {

constexpr std::size_t kHostMax = 253;  // RFC 1035
constexpr std::size_t kLabelMax = 63;

bool is_hex(char c) { return hex_digit(c) >= 0; }

// What is taken apart otherwise by others: a backslash is a slash to browsers.
Status check_characters(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0x7f) return invalid_argument("the URL has a character that is not ASCII's");
    if (byte <= 0x20 || std::string_view("\"<>\\").find(text[i]) != std::string_view::npos)
      return invalid_argument("the URL has a character that has to be encoded");
    if (text[i] == '%' && (text.size() - i < 3 || !is_hex(text[i + 1]) || !is_hex(text[i + 2])))
      return invalid_argument("the URL has a percent sign without two digits");
  }
  return Status();
}

// Whether C libraries would take a host that ends so for an address, and repair it.
bool is_number(std::string_view label) {
  if (label.starts_with("0x")) return std::all_of(label.begin() + 2, label.end(), is_hex);
  return std::all_of(label.begin(), label.end(), is_digit);
}

Status check_name(std::string_view host) {
  if (host.empty()) return invalid_argument("the URL has no host");
  if (host.size() > kHostMax)
    return invalid_argument("the URL's host is longer than {} bytes", kHostMax);
  std::string_view label;
  for (std::string_view rest = host;;) {
    const std::size_t end = std::min(rest.find('.'), rest.size());
    label = rest.substr(0, end);
    if (label.empty() || label.size() > kLabelMax || label.front() == '-' || label.back() == '-')
      return invalid_argument("the URL's host is none");
    for (const char c : label)
      if (!is_digit(c) && !(c >= 'a' && c <= 'z') && c != '-' && c != '_')
        return invalid_argument("the URL's host is none");
    if (end == rest.size()) break;
    rest.remove_prefix(end + 1);
  }
  if (is_number(label)) return invalid_argument("the URL's host is a number, but no IP address");
  return Status();
}

Status take_host(std::string_view text, Url& to) {
  to.host = text;
  for (char& c : to.host)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (text.starts_with('[')) {
    if (!text.ends_with(']')) return invalid_argument("the URL's host is none");
    const Result<IpAddress> address = IpAddress::parse(text.substr(1, text.size() - 2));
    if (!address.ok() || !address->is_v6())
      return invalid_argument("the URL's host is no IP address of version 6");
    to.address = *address;
    to.host = address->to_string();
    return Status();
  }
  if (const Result<IpAddress> address = IpAddress::parse(to.host);
      address.ok() && !address->is_v6()) {
    to.address = *address;
    return Status();
  }
  return check_name(to.host);
}

Status take_port(std::string_view text, Url& to) {
  const bool digits = std::all_of(text.begin(), text.end(), is_digit);
  if (text.empty() || text.size() > 5 || !digits || text.front() == '0')
    return invalid_argument("the URL's port is none");
  std::from_chars(text.data(), text.data() + text.size(), to.port);
  if (to.port > 65'535) return invalid_argument("the URL's port is beyond 65535");
  return Status();
}

Status take_authority(std::string_view text, Url& to) {
  if (text.find('@') != text.npos)
    return invalid_argument("the URL has a user; send an Authorization header");
  const std::size_t end = text.starts_with('[') ? text.find(']') : std::size_t{0};
  if (end == text.npos) return invalid_argument("the URL's host is none");
  const std::size_t colon = std::min(text.find(':', end), text.size());
  to.port = to.tls ? 443 : 80;
  if (colon < text.size()) WISP_TRY(take_port(text.substr(colon + 1), to));
  return take_host(text.substr(0, colon), to);
}

// RFC 3986, 5.2.4. Requires: `path` begins with a slash.
std::string without_dots(std::string_view path) {
  std::vector<std::string_view> kept;
  bool folder = false;  // the last segment was one of dots: what is left ends with a slash
  for (std::string_view rest = path; !rest.empty();) {
    rest.remove_prefix(1);
    const std::string_view segment = rest.substr(0, rest.find('/'));
    rest.remove_prefix(segment.size());
    folder = segment == "." || segment == "..";
    if (segment == ".." && !kept.empty()) kept.pop_back();
    if (!folder) kept.push_back(segment);
  }
  std::string all;
  for (const std::string_view each : kept) all.append(1, '/').append(each);
  if (folder || all.empty()) all += '/';
  return all;
}

}  // namespace

std::string Url::authority() const {
  std::string text = address && address->is_v6() ? '[' + host + ']' : host;
  if (port != (tls ? 443 : 80)) text += fmt::format(":{}", port);
  return text;
}

std::string Url::origin() const { return (tls ? "https://" : "http://") + authority(); }

Result<Url> parse_url(std::string_view text, std::size_t bytes_max) {
  if (text.size() > bytes_max)
    return invalid_argument("the URL is longer than {} bytes", bytes_max);
  WISP_TRY(check_characters(text));
  Url url;
  const std::size_t scheme = text.find("://");
  if (scheme == text.npos) return invalid_argument("the URL is not absolute: it has no '://'");
  url.tls = same_name(text.substr(0, scheme), "https");
  if (!url.tls && !same_name(text.substr(0, scheme), "http"))
    return invalid_argument("the URL's scheme is neither http nor https");
  text.remove_prefix(scheme + 3);
  text = text.substr(0, text.find('#'));
  const std::size_t end = std::min(text.find_first_of("/?"), text.size());
  WISP_TRY(take_authority(text.substr(0, end), url));
  text.remove_prefix(end);
  if (!text.starts_with('/')) url.target = "/";
  url.target += text;
  return url;
}

Result<Url> follow(const Url& from, std::string_view location, std::size_t bytes_max) {
  if (location.size() > bytes_max)
    return invalid_argument("the URL is longer than {} bytes", bytes_max);
  const std::size_t mark = location.find_first_of(":/?#");
  if (mark != location.npos && location[mark] == ':') return parse_url(location, bytes_max);
  if (location.starts_with("//"))
    return parse_url((from.tls ? "https:" : "http:") + std::string(location), bytes_max);
  location = location.substr(0, location.find('#'));
  const std::string_view base = std::string_view(from.target).substr(0, from.target.find('?'));
  if (location.empty()) return from;
  const std::size_t question = std::min(location.find('?'), location.size());
  std::string path(base);
  if (question > 0) {
    const std::string_view folder =
        location.starts_with('/') ? std::string_view() : base.substr(0, base.rfind('/') + 1);
    path = without_dots(std::string(folder).append(location.substr(0, question)));
  }
  return parse_url(from.origin() + path.append(location.substr(question)), bytes_max);
}

}  // namespace wisp::inline v0::http
