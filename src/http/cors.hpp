// What a browser is told about pages of other origins (Fetch, "CORS protocol").
//
// Threads: any.
#pragma once

#include <string>
#include <string_view>

#include <wisp/base/status.hpp>
#include <wisp/http/gateway.hpp>

#include "head.hpp"

namespace wisp::inline v0::http {

// kInvalidArgument names what is no origin or no name of a header.
Status check(const Cors& cors);

// The fields of any answer to this request; empty: the page may not read it, or there is none.
std::string cors_fields(const Cors& cors, const Head& head);

// Whether no browser sent it, or one whose page is of this host or of an origin that may.
bool is_own_page(const Cors& cors, const Head& head);

// Whether it asks beforehand; and what else the answer to that says. `allow`: the path's methods.
bool is_preflight(const Head& head);
std::string preflight_fields(const Cors& cors, std::string_view allow);

}  // namespace wisp::inline v0::http
