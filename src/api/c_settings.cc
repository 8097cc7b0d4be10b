// The C API of settings by name.
#include <fmt/format.h>

#include <memory>

#include "api/c_student.h"
#include "train/settings.h"

using mw::c_api::guarded;
using mw::c_api::require;

namespace {

using Values = std::vector<std::string>;
using Refused = std::map<std::string, mw::Error>;

template <class Settings>
bool is_taken(Settings& settings, Refused& refused, const std::string& name, const Values& values) {
  try {
    mw::training::set(settings, name, values);
    refused.erase(name);
    return true;
  } catch (const mw::Error& e) {
    refused.insert_or_assign(name, e);
    return false;
  }
}

// What opening and training both have, as `naive`, is set for both; so is what training and
// generation have, as `temperature`, unless neither takes it.
void set(mw_settings& s, const std::string& name, const Values& values) {
  const bool is_of_opening = mw::training::set_if_known(s.load, name, values);
  const bool is_of_training = mw::training::has_setting(s.training, name);
  if (is_of_opening && !is_of_training) return;
  if (!mw::training::has_setting(s.generation, name)) {
    return mw::training::set(s.training, name, values);
  }
  if (!is_of_training) return mw::training::set(s.generation, name, values);
  const Refused before[] = {s.refused_by_training, s.refused_by_generation};
  const bool taken = is_taken(s.training, s.refused_by_training, name, values);
  if (is_taken(s.generation, s.refused_by_generation, name, values) || taken) return;
  const mw::Error refusal = s.refused_by_training.at(name);
  s.refused_by_training = before[0];
  s.refused_by_generation = before[1];
  throw mw::Error(refusal);
}

}  // namespace

void mw::c_api::expect_taken(const std::map<std::string, Error>& refused) {
  if (!refused.empty()) throw Error(refused.begin()->second);
}

mw_status mw_settings_create(mw_settings** settings) {
  return guarded([&] {
    require(settings != nullptr, "mw_settings_create: settings must not be NULL");
    *settings = new mw_settings();
  });
}
void mw_settings_free(mw_settings* settings) { delete settings; }

mw_status mw_settings_set(mw_settings* settings, const char* name, const char* value) {
  return mw_settings_set_list(settings, name, &value, 1);
}

mw_status mw_settings_set_number(mw_settings* settings, const char* name, double value) {
  return guarded([&] {
    require(settings != nullptr && name != nullptr,
            "mw_settings_set_number: settings and name must not be NULL");
    set(*settings, name, {fmt::format("{}", value)});
  });
}

mw_status mw_settings_set_list(mw_settings* settings, const char* name, const char* const* values,
                               size_t count) {
  return guarded([&] {
    require(settings != nullptr && name != nullptr && (values != nullptr || count == 0),
            "mw_settings_set: settings, name and values must not be NULL");
    std::vector<std::string> texts;
    for (size_t i = 0; i < count; ++i) {
      require(values[i] != nullptr, "mw_settings_set: a value is NULL");
      texts.emplace_back(values[i]);
    }
    set(*settings, name, texts);
  });
}

mw_status mw_model_load_with(const char* path, const mw_settings* settings, mw_model** model) {
  return guarded([&] {
    require(path != nullptr && settings != nullptr && model != nullptr,
            "mw_model_load_with: path, settings and model must not be NULL");
    *model = mw::c_api::opened(path, settings->load).release();
  });
}

mw_status mw_student_create_with(const mw_model* model, const mw_settings* settings,
                                 mw_student** student) {
  return guarded([&] {
    require(model != nullptr && settings != nullptr && student != nullptr,
            "mw_student_create_with: model, settings and student must not be NULL");
    *student = mw::c_api::make_student(*model, settings->training.student).release();
  });
}
