// Addresses of the Internet Protocol, and which of them are of the public internet.
//
//   WISP_TRY(const wisp::http::IpAddress address, wisp::http::IpAddress::parse("169.254.169.254"));
//   reach_of(address)          // Reach::link_local
//   is_public(address)         // false: here a cloud keeps the keys of its machines
//
// Who calls a URL that came from outside must not be led inside: to a loopback, a private network,
// or what a cloud serves to its own machines. See ClientOptions::allow_private in client.hpp.
//
// Threads: value.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include <wisp/base/status.hpp>

namespace wisp::inline v0::http {

class IpAddress {
 public:
  // 0.0.0.0.
  IpAddress() = default;

  // "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"; no brackets, port or zone. kInvalidArgument for
  // everything else, also for the spellings of IPv4 that C libraries repair, each its own way:
  // "127.1", "0177.0.0.1", "0x7f.0.0.1", "2130706433".
  static Result<IpAddress> parse(std::string_view text);

  // In network order.
  static IpAddress v4(const std::array<std::uint8_t, 4>& bytes);
  static IpAddress v6(const std::array<std::uint8_t, 16>& bytes);

  bool is_v6() const { return v6_; }
  // In network order; of IPv4 the first four.
  const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }
  std::string to_string() const;

  friend bool operator==(const IpAddress&, const IpAddress&) = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};
  bool v6_ = false;
};

// From where an address can be reached, by IANA's registries of special-purpose addresses.
enum class Reach : std::uint8_t {
  everywhere,     // what the registries say nothing of
  unspecified,    // 0.0.0.0/8, ::
  loopback,       // 127.0.0.0/8, ::1
  private_use,    // RFC 1918, fc00::/7, fec0::/10
  shared,         // 100.64.0.0/10: between a provider and its customers
  link_local,     // 169.254.0.0/16, fe80::/10; clouds' metadata among them
  multicast,      // 224.0.0.0/4, ff00::/8
  broadcast,      // 255.255.255.255
  documentation,  // 192.0.2.0/24 and the like, 2001:db8::/32, 3fff::/20
  benchmarking,   // 198.18.0.0/15, 2001:2::/48
  protocols,      // 192.0.0.0/24, 2001::/23: of the protocols themselves
  tunnel,         // 6to4 and its relays, Teredo, ::/96: IPv4 in a wrapping that nobody serves from
  platform,       // 168.63.129.16: what Azure serves to its own machines
  reserved,       // the rest: 240.0.0.0/4, and of IPv6 what is not 2000::/3
};

std::string_view to_string(Reach reach);

// Of an address that holds one of IPv4 to which a packet would go, ::ffff:0:0/96 and 64:ff9b::/96,
// what that one's is.
Reach reach_of(const IpAddress& address);

inline bool is_public(const IpAddress& address) { return reach_of(address) == Reach::everywhere; }

}  // namespace wisp::inline v0::http
