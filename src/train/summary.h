// What of a model is trained and why the rest is not, in the lines that a run begins with.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "millwright/parameter.hpp"

namespace mw::training {

struct TrainingSummary {
  struct Count {
    int64_t parameters = 0, numbers = 0;
  };
  Count trained, adapters, all;         // `all`: of the model, adapters apart
  std::map<std::string, Count> frozen;  // by the reason
  Count compressed;                     // of the frozen
};

// Parameters that show the same numbers count once.
TrainingSummary summary_of(const std::vector<mw::Parameter>& parameters);
// Settings in them are marked, as setting() does.
std::vector<std::string> lines_of(const TrainingSummary& summary);

}  // namespace mw::training
