// A student behind the C API.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/c_api.h"
#include "millwright/training.hpp"

struct mw_student {
  mw::StudentModel student;
  std::vector<mw::Parameter> parameters;
  std::vector<mw_parameter> views;
  std::vector<std::string> warnings, notes, classes;
  std::string objective;
};

struct mw_settings {
  mw::LoadOptions load;
  mw::TrainingSettings training;
};

namespace mw::c_api {

std::unique_ptr<mw_student> make_student(const mw_model& model, const StudentOptions& options);

}  // namespace mw::c_api
