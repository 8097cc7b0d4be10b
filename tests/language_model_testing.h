// What the tests of small language models share: every form, and a model written and opened again.
#pragma once

#include <gtest/gtest.h>

#include "base/testing.h"
#include "millwright/millwright.hpp"
#include "small_language_models.h"

namespace mw::suite {

inline constexpr Form kForms[] = {Form::kPlain,    Form::kNoBatch,  Form::kHead,
                                  Form::kTrailing, Form::kLast,     Form::kLastRow,
                                  Form::kLastFlat, Form::kLastHead, Form::kDictionary};

class LanguageModels : public ::testing::Test {
 protected:
  CoreMLModelWrapper model_of(const SmallModel& m) const {
    const auto path = folder_ / "model.mlpackage";
    suite::write_small_model(path, m);
    return CoreMLModelWrapper::load(path);
  }
  const mw::testing::TempFolder folder_;
};

}  // namespace mw::suite
