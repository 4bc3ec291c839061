#pragma once

#include <string>
#include <wisp/wisp.hpp>

struct Parcel {
  double kg;
  std::string country;
};
WISP_FIELDS(Parcel, kg, country)

double cents_per_kg();
