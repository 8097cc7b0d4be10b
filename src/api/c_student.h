// A student, and settings by name, behind the C API.
#pragma once

#include <map>
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
  mw::GenerationSettings generation;
  // A setting that training and generation both have may get a value that one of them alone takes
  // (a temperature of 0): what the other says to it, by name.
  std::map<std::string, mw::Error> refused_by_training, refused_by_generation;
};

namespace mw::c_api {

std::unique_ptr<mw_student> make_student(const mw_model& model, const StudentOptions& options);
// Throws what those that use these settings refuse of them.
void expect_taken(const std::map<std::string, Error>& refused);

}  // namespace mw::c_api
