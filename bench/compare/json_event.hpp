// The event that both parse, 900 bytes of an EC2 notification, and thirty patterns that a rule for
// it could have: a value, a prefix, a suffix, an element of a list, a number, of four fields each.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace compare {

inline constexpr std::string_view kEvent =
    R"({"version":"0","id":"ee376907-2647-4179-9203-343cfb3017a4",)"
    R"("detail-type":"EC2 Instance State-change Notification","source":"aws.ec2",)"
    R"("account":"123456789012","time":"2015-11-11T21:30:34Z","region":"us-east-1",)"
    R"("resources":["arn:aws:ec2:us-east-1:123456789012:instance/i-abcd1111"],)"
    R"("detail":{"instance-id":"i-abcd1111","state":"running","count":12,"price":0.25,)"
    R"("owner":{"name":"Maria","team":"ops","email":"maria@example.com"},)"
    R"("tags":["blue","green","prod"],"source-ip":"10.0.0.33",)"
    R"("request":{"path":"/images/cat.png","method":"GET","status":200,)"
    R"("agent":"Mozilla/5.0 X11; Linux x86_64"},)"
    R"("note":"Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor )"
    R"(incididunt ut labore et dolore magna aliqua. Ut enim ad minim veniam, quis nostrud )"
    R"(exercitation ullamco laboris nisi ut aliquip ex ea commodo consequat. Duis aute irure )"
    R"(dolor in reprehenderit in voluptate velit esse cillum a."}})";
static_assert(kEvent.size() == 900);

// The first of each kind matches.
inline std::vector<std::string> patterns() {
  std::vector<std::string> all;
  for (int i = 0; i < 30; ++i) {
    const std::string n = i < 6 ? "" : std::to_string(i);
    switch (i % 6) {
      case 0:
        all.push_back(R"({"source":["aws.ec2)" + n + R"("],"detail":{"state":["running"]}})");
        break;
      case 1:
        all.push_back(R"({"detail":{"request":{"path":[{"prefix":"/im)" + n +
                      R"("}]},"count":[12]}})");
        break;
      case 2:
        all.push_back(R"({"detail":{"request":{"path":[{"suffix":")" + n + R"(.png"}]}}})");
        break;
      case 3:
        all.push_back(R"({"detail":{"tags":["blue)" + n + R"("],"owner":{"team":["ops"]}}})");
        break;
      case 4:
        all.push_back(R"({"region":["us-east-1)" + n + R"("],"account":["123456789012"]})");
        break;
      default:
        all.push_back(R"({"detail":{"price":[{"numeric":[">",)" + (n.empty() ? "0" : n) + "]}]}}");
        break;
    }
  }
  return all;
}

}  // namespace compare
