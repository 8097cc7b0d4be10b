// The FlexibleShapeInformation attribute of a function: default, ranged and enumerated input shapes
// in MIL.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ir/program.h"
#include "package/feature.h"

namespace mw::package {

inline constexpr std::string_view kFlexibleShapes = "FlexibleShapeInformation";

struct FlexibleShapes {
  Shapes defaults;
  std::map<std::string, std::vector<ShapeRange>> ranges;
  std::map<std::string, std::vector<Shape>> enumerated;
};

// Nullopt when the function has no such attribute, or one of another form.
std::optional<FlexibleShapes> flexible_shapes_of(const ir::Function& function);

// The attribute for the flexible inputs that `description` lists; null when there are none.
ir::ConstantPtr flexible_shapes_for(const FunctionDescription& description,
                                    const ir::Function& function);

}  // namespace mw::package
