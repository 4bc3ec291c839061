#include <wisp/http/address.hpp>

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <iterator>

namespace wisp::inline v0::http {
namespace {

struct Range {
  std::array<std::uint8_t, 16> first;
  int bits;
  Reach reach;
};

// https://www.iana.org/assignments/iana-ipv4-special-registry, and multicast, RFC 5771. What the
// registry itself calls globally reachable within a range that is not, two anycast addresses of
// 192.0.0.0/24, is refused with it.
constexpr Range kV4[] = {
    {{0}, 8, Reach::unspecified},                  // RFC 791
    {{10}, 8, Reach::private_use},                 // RFC 1918
    {{100, 64}, 10, Reach::shared},                // RFC 6598
    {{127}, 8, Reach::loopback},                   // RFC 1122
    {{168, 63, 129, 16}, 32, Reach::platform},     // Azure: WireServer, DNS, health probes
    {{169, 254}, 16, Reach::link_local},           // RFC 3927
    {{172, 16}, 12, Reach::private_use},           // RFC 1918
    {{192, 0, 0}, 24, Reach::protocols},           // RFC 6890; Oracle's metadata, 192.0.0.192
    {{192, 0, 2}, 24, Reach::documentation},       // RFC 5737
    {{192, 88, 99}, 24, Reach::tunnel},            // RFC 7526
    {{192, 168}, 16, Reach::private_use},          // RFC 1918
    {{198, 18}, 15, Reach::benchmarking},          // RFC 2544
    {{198, 51, 100}, 24, Reach::documentation},    // RFC 5737
    {{203, 0, 113}, 24, Reach::documentation},     // RFC 5737
    {{224}, 4, Reach::multicast},                  // RFC 5771
    {{255, 255, 255, 255}, 32, Reach::broadcast},  // RFC 919; before the next
    {{240}, 4, Reach::reserved},                   // RFC 1112
};

// https://www.iana.org/assignments/iana-ipv6-special-registry and ipv6-address-space: only 2000::/3
// is for unicast everywhere. 2001::/23 is refused whole, as is 192.0.0.0/24.
constexpr Range kV6[] = {
    {{}, 128, Reach::unspecified},                                             // RFC 4291
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, Reach::loopback},  // RFC 4291
    {{}, 96, Reach::tunnel},                                                   // RFC 4291, 2.5.5.1
    {{0x20, 0x01, 0x00, 0x00}, 32, Reach::tunnel},                             // RFC 4380: Teredo
    {{0x20, 0x01, 0x00, 0x02, 0x00, 0x00}, 48, Reach::benchmarking},           // RFC 5180
    {{0x20, 0x01}, 23, Reach::protocols},                                      // RFC 2928
    {{0x20, 0x01, 0x0d, 0xb8}, 32, Reach::documentation},                      // RFC 3849
    {{0x20, 0x02}, 16, Reach::tunnel},                                         // RFC 3056: 6to4
    {{0x3f, 0xff}, 20, Reach::documentation},                                  // RFC 9637
    {{0x20}, 3, Reach::everywhere},                                            // RFC 4291
    {{0xfc}, 7, Reach::private_use},                                           // RFC 4193
    {{0xfe, 0x80}, 10, Reach::link_local},                                     // RFC 4291
    {{0xfe, 0xc0}, 10, Reach::private_use},                                    // RFC 3879
    {{0xff}, 8, Reach::multicast},                                             // RFC 4291
};

constexpr std::array<std::uint8_t, 16> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr std::array<std::uint8_t, 16> kTranslated{0, 0x64, 0xff, 0x9b};  // RFC 6052: NAT64

bool within(const std::array<std::uint8_t, 16>& address, const std::array<std::uint8_t, 16>& first,
            int bits) {
  const int whole = bits / 8;
  if (!std::equal(first.begin(), first.begin() + whole, address.begin())) return false;
  if (bits % 8 == 0) return true;
  const auto at = static_cast<std::size_t>(whole);
  return (first[at] ^ address[at]) >> (8 - bits % 8) == 0;
}

template <std::size_t N>
Reach first_of(const Range (&ranges)[N], const std::array<std::uint8_t, 16>& address,
               Reach otherwise) {
  for (const Range& each : ranges)
    if (within(address, each.first, each.bits)) return each.reach;
  return otherwise;
}

// Four decimal numbers to 255, without leading zeros.
bool parse_v4(std::string_view text, std::array<std::uint8_t, 4>& to) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (i > 0) {
      if (!text.starts_with('.')) return false;
      text.remove_prefix(1);
    }
    int number = 0;
    std::size_t digits = 0;
    for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
      number = number * 10 + (text[digits] - '0');
      if (digits == 3 || number > 255) return false;
    }
    if (digits == 0 || (digits > 1 && text[0] == '0')) return false;
    to[i] = static_cast<std::uint8_t>(number);
    text.remove_prefix(digits);
  }
  return text.empty();
}

constexpr std::string_view kReachNames[] = {
    "everywhere", "unspecified", "loopback",  "private_use",   "shared",
    "link_local", "multicast",   "broadcast", "documentation", "benchmarking",
    "protocols",  "tunnel",      "platform",  "reserved"};

}  // namespace

Result<IpAddress> IpAddress::parse(std::string_view text) {
  IpAddress address;
  if (std::array<std::uint8_t, 4> four{}; parse_v4(text, four)) return v4(four);
  // Longer than the longest is none; a NUL would end it early.
  const std::string copy(text.substr(0, INET6_ADDRSTRLEN));
  address.v6_ = true;
  if (copy.size() != text.size() || copy.find(':') == copy.npos || copy.find('\0') != copy.npos ||
      inet_pton(AF_INET6, copy.c_str(), address.bytes_.data()) != 1)
    return invalid_argument("'{}' is no IP address", copy);
  return address;
}

IpAddress IpAddress::v4(const std::array<std::uint8_t, 4>& bytes) {
  IpAddress address;
  std::copy(bytes.begin(), bytes.end(), address.bytes_.begin());
  return address;
}

IpAddress IpAddress::v6(const std::array<std::uint8_t, 16>& bytes) {
  IpAddress address;
  address.bytes_ = bytes;
  address.v6_ = true;
  return address;
}

std::string IpAddress::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(v6_ ? AF_INET6 : AF_INET, bytes_.data(), text.data(), text.size());
  return text.data();
}

std::string_view to_string(Reach reach) {
  static_assert(std::size(kReachNames) == static_cast<std::size_t>(Reach::reserved) + 1);
  return kReachNames[static_cast<std::size_t>(reach)];
}

Reach reach_of(const IpAddress& address) {
  const auto& bytes = address.bytes();
  if (!address.is_v6()) return first_of(kV4, bytes, Reach::everywhere);
  if (within(bytes, kMapped, 96) || within(bytes, kTranslated, 96)) {
    std::array<std::uint8_t, 16> four{};
    std::copy(bytes.begin() + 12, bytes.end(), four.begin());
    return first_of(kV4, four, Reach::everywhere);
  }
  return first_of(kV6, bytes, Reach::reserved);
}

}  // namespace wisp::inline v0::http
