// What a checkpoint says about its place in a run, held against the run that goes on from it.
#pragma once

#include <cstdint>

#include "train/checkpoint.h"

namespace mw::training {

struct TrainingData;

// The examples of one step, and of `steps`, are counted in 63 bits: throws invalid_argument where
// they are not.
int64_t examples_of_step(int64_t batch_size, int64_t accumulate, int64_t steps);

// Throws invalid_argument when step, cursor and tokens do not belong together, or not to the data.
// Without data (data.train is null) nothing is drawn from it, and the step alone is looked at.
void check_position(const Checkpoint& checkpoint, const TrainingData& data,
                    int64_t examples_per_step);

}  // namespace mw::training
