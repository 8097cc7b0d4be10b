// The pipelines of a model that is opened and run, and what watches over all pipelines.
#pragma once

#include <memory>
#include <vector>

#include "ir/adjustable.h"
#include "lm/model.h"
#include "millwright/millwright.hpp"
#include "ops/rewrites/one_position.h"
#include "passes/pipeline.h"
#include "passes/precision.h"

namespace mw {

// Every pipeline there is, in the order in which a model meets them.
std::vector<passes::Listing> all_pipelines();

// As the options ask. Throws invalid_argument where they name a pass that there is not.
std::shared_ptr<passes::Watch> watch_of(const LoadOptions& options);

passes::Numerics numerics_of(Compute compute);
// A function as it is computed.
std::unique_ptr<ir::Function> opened(const ir::Function& function, const passes::Numerics& numerics,
                                     passes::Watch* watch);
// An opened function for inputs of these shapes.
std::unique_ptr<ir::Function> prediction_at(const ir::Function& opened, const Shapes& shapes,
                                            passes::Watch* watch);
// The same as one that moves to other shapes, as passes::specialise_adjustable() has it.
std::unique_ptr<ir::AdjustableFunction> adjustable_prediction_at(const ir::Function& opened,
                                                                 const Shapes& shapes,
                                                                 passes::Watch* watch);
// An opened function with the outputs of a reading alone.
ops::OnePosition read_of(const ir::Function& opened, const lm::Reading& reading,
                         passes::Watch* watch);

}  // namespace mw
