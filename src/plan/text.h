// text(): a plan for people to read, and for tests to compare. docs/plans.md explains a page of it.
//
//   plan::Request request{platform, &pool};
//   request.described = true;  // for no particular machine, with operands
//   std::cout << plan::text(*plan::make(std::move(function), request));
#pragma once

#include <string>

#include "plan/plan.h"

namespace mw::plan {

// All inputs, outputs, buffers and steps, and what they come to. Of a described plan the same on
// every machine.
std::string text(const Plan& plan);

}  // namespace mw::plan
