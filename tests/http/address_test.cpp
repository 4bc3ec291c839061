// Which addresses are of the public internet: each range of the registries, and its neighbours.
#include <wisp/http/address.hpp>
#include <wisp/wisp.hpp>

#include "catch.hpp"

namespace {

using wisp::http::IpAddress;
using wisp::http::Reach;

Reach reach(const char* text) {
  INFO(text);
  const auto address = IpAddress::parse(text);
  REQUIRE(address.ok());
  return reach_of(*address);
}

struct Given {
  Reach expected;
  const char* first;
  const char* last;
  const char* before = nullptr;  // null: there is none, or it is not everywhere either
  const char* after = nullptr;
};

void check(const Given& each) {
  INFO(each.first);
  CHECK(reach(each.first) == each.expected);
  CHECK(reach(each.last) == each.expected);
  for (const char* beside : {each.before, each.after})
    if (beside != nullptr) CHECK(reach(beside) == Reach::everywhere);
}

}  // namespace

TEST_CASE("address: the ranges of IPv4, to their edges", "[address]") {
  const Given cases[] = {
      {Reach::unspecified, "0.0.0.0", "0.255.255.255", nullptr, "1.0.0.0"},
      {Reach::private_use, "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
      {Reach::shared, "100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"},
      {Reach::shared, "100.100.100.200", "100.100.100.200"},
      {Reach::loopback, "127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"},
      {Reach::platform, "168.63.129.16", "168.63.129.16", "168.63.129.15", "168.63.129.17"},
      {Reach::link_local, "169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"},
      {Reach::link_local, "169.254.169.254", "169.254.170.2"},
      {Reach::private_use, "172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"},
      {Reach::protocols, "192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"},
      {Reach::documentation, "192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"},
      {Reach::tunnel, "192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"},
      {Reach::private_use, "192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"},
      {Reach::benchmarking, "198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"},
      {Reach::documentation, "198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"},
      {Reach::documentation, "203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"},
      {Reach::multicast, "224.0.0.0", "239.255.255.255", "223.255.255.255"},
      {Reach::reserved, "240.0.0.0", "255.255.255.254"},
      {Reach::broadcast, "255.255.255.255", "255.255.255.255"},
      {Reach::everywhere, "8.8.8.8", "93.184.216.34"},
  };
  for (const Given& each : cases) check(each);
}

TEST_CASE("address: the ranges of IPv6, to their edges", "[address]") {
  const Given cases[] = {
      {Reach::unspecified, "::", "::"},
      {Reach::loopback, "::1", "0:0:0:0:0:0:0:1"},
      {Reach::tunnel, "::2", "::ffff:ffff"},
      {Reach::tunnel, "::127.0.0.1", "::8.8.8.8"},
      {Reach::reserved, "::1:0:0", "::fffe:ffff:ffff"},
      {Reach::reserved, "::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8"},  // RFC 2765
      {Reach::reserved, "100::", "100::ffff"},
      {Reach::reserved, "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:8.8.8.8"},
      {Reach::reserved, "1fff:ffff::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nullptr,
       "2000::"},
      {Reach::tunnel, "2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "2000:ffff::1"},
      {Reach::protocols, "2001:1::1", "2001:1ff:ffff::1", nullptr, "2001:200::"},
      {Reach::benchmarking, "2001:2::", "2001:2:0:ffff::"},
      {Reach::protocols, "2001:2:1::", "2001:10::1"},
      {Reach::documentation, "2001:db8::", "2001:db8:ffff:ffff::1",
       "2001:db7:ffff::", "2001:db9::"},
      {Reach::tunnel, "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:ffff::", "2003::"},
      {Reach::tunnel, "2002:7f00:1::", "2002:a00:1::1"},
      {Reach::documentation, "3fff::", "3fff:fff:ffff::1", "3ffe:ffff::", "3fff:1000::"},
      {Reach::reserved, "4000::", "fbff:ffff::1", "3fff:ffff::"},
      {Reach::reserved, "5f00::1", "5f00::2"},
      {Reach::private_use, "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
      {Reach::private_use, "fd00:ec2::254", "fd20:ce::254"},  // metadata of AWS and Google
      {Reach::reserved, "fe00::", "fe7f:ffff::"},
      {Reach::link_local, "fe80::", "febf:ffff:ffff::1"},
      {Reach::private_use, "fec0::", "feff:ffff::"},
      {Reach::multicast, "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
      {Reach::everywhere, "2606:4700:4700::1111", "2a00:1450:4001:82b::200e"},
  };
  for (const Given& each : cases) check(each);
}

TEST_CASE("address: one that leads to IPv4 is what that one is", "[address]") {
  for (const std::string prefix : {"::ffff:", "64:ff9b::"}) {
    CHECK(reach((prefix + "127.0.0.1").c_str()) == Reach::loopback);
    CHECK(reach((prefix + "7f00:1").c_str()) == Reach::loopback);
    CHECK(reach((prefix + "10.1.2.3").c_str()) == Reach::private_use);
    CHECK(reach((prefix + "169.254.169.254").c_str()) == Reach::link_local);
    CHECK(reach((prefix + "0.0.0.0").c_str()) == Reach::unspecified);
    CHECK(reach((prefix + "255.255.255.255").c_str()) == Reach::broadcast);
    CHECK(reach((prefix + "8.8.8.8").c_str()) == Reach::everywhere);
  }
}

TEST_CASE("address: spelt as C libraries repair it is none", "[address]") {
  const char* const none[] = {
      "",
      "127.1",
      "127.0.1",
      "2130706433",
      "0x7f000001",
      "0177.0.0.1",
      "0x7f.0.0.1",
      "127.0.0.01",
      "00.0.0.0",
      "127.0.0.1.",
      ".127.0.0.1",
      "127..0.1",
      "127.0.0.256",
      "127.0.0.1000",
      "99999999999.0.0.1",
      "1.2.3.4.5",
      " 127.0.0.1",
      "127.0.0.1 ",
      "127.0.0.1\n",
      "+127.0.0.1",
      "-1.0.0.1",
      "[::1]",
      "::1%lo",
      "fe80::1%25eth0",
      "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9",
      "1::2::3",
      ":::",
      "::12345",
      "::g",
      "::ffff:127.1",
      "::ffff:0177.0.0.1",
      "::ffff:127.0.0.1.1",
      "localhost",
      "\xd9\xa1.0.0.1",
  };
  for (const char* text : none) {
    INFO(text);
    const auto parsed = IpAddress::parse(text);
    CHECK(parsed.status().code() == wisp::StatusCode::kInvalidArgument);
  }
  CHECK_FALSE(IpAddress::parse(std::string_view("::1\0", 4)).ok());
  CHECK_FALSE(IpAddress::parse(std::string_view("127.0.0.1\0", 10)).ok());
  CHECK_FALSE(IpAddress::parse(std::string(100, ':')).ok());
  CHECK(wisp::message(IpAddress::parse("127.1").status()) == "'127.1' is no IP address");
}

TEST_CASE("address: written as it is read", "[address]") {
  for (const char* text : {"127.0.0.1", "0.0.0.0", "255.255.255.255", "::", "::1",
                           "2001:db8::1:0:0:1", "::ffff:127.0.0.1"}) {
    const auto parsed = IpAddress::parse(text);
    REQUIRE(parsed.ok());
    CHECK(parsed->to_string() == text);
    CHECK(parsed->is_v6() == (std::string_view(text).find(':') != std::string_view::npos));
  }
  CHECK(IpAddress() == *IpAddress::parse("0.0.0.0"));
  CHECK_FALSE(IpAddress() == *IpAddress::parse("::"));
  CHECK(IpAddress::v4({1, 2, 3, 4}) == *IpAddress::parse("1.2.3.4"));
  CHECK(IpAddress::v6({0x20, 0x01}) == *IpAddress::parse("2001::"));
  CHECK(to_string(Reach::reserved) == "reserved");
  CHECK(to_string(Reach::link_local) == "link_local");
  CHECK(is_public(*IpAddress::parse("1.1.1.1")));
  CHECK_FALSE(is_public(*IpAddress::parse("10.1.1.1")));
}
