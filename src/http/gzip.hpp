// Bodies that are sent smaller, by zlib.
//
// Threads: any.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace wisp::inline v0::http {

// Below, what is saved is no packet; above, it would keep a loop from its other clients.
inline constexpr std::size_t kGzipBytesMin = 1'024;
inline constexpr std::size_t kGzipBytesMax = 1'048'576;

// Whether a client that sent this Accept-Encoding takes gzip (RFC 9110, 12.5.3).
bool accepts_gzip(std::string_view accept_encoding);

// Whether a type is text, so that it gets smaller. Parameters do not count.
bool is_compressible(std::string_view content_type);

// nullopt: it would be no smaller, or there is no memory.
std::optional<std::string> gzip(std::string_view body);

}  // namespace wisp::inline v0::http
