// Whole models on a device whose memory the host cannot see, step by step and bit by bit as the
// naive executor computes them.
#include <gtest/gtest.h>

#include "api/impl.h"
#include "cpu/testing.h"
#include "devices/devices.h"
#include "ops/catalog.h"
#include "passes/specialise.h"
#include "plan/backend_testing.h"
#include "random_inputs.h"
#include "suite.h"

namespace mw {
namespace {

const plan::ForeignBackend& foreign() {
  static const plan::ForeignBackend kBackend;
  return kBackend;
}

exec::Session session_of(const CoreMLModelWrapper& model, bool naive) {
  plan::Platform platform = devices::platform("cpu");
  platform.backend = &foreign();
  const ir::Function& function = *model.impl().lowered;
  exec::SessionOptions options;
  options.naive = naive;
  return {function,
          [&](const Shapes& shapes) {
            return passes::specialise(function, ops::catalog(), {.shapes = shapes});
          },
          platform, options};
}

void expect_equal(const ir::Datum& got, const ir::Datum& want, const std::string& label) {
  ASSERT_EQ(got.list == nullptr, want.list == nullptr) << label;
  if (want.list == nullptr) {
    EXPECT_TRUE(bit_equal(got.tensor, want.tensor)) << label;
    return;
  }
  ASSERT_EQ(got.list->size(), want.list->size()) << label;
  for (size_t i = 0; i < want.list->size(); ++i) {
    EXPECT_TRUE(bit_equal((*got.list)[i], (*want.list)[i])) << label << " " << i;
  }
}

// Three runs over one set of states, the last two of one plan.
void expect_as_naive(const std::filesystem::path& path) {
  const auto model = CoreMLModelWrapper::load(path);
  const exec::Session planned = session_of(model, false), naive = session_of(model, true);
  exec::States ours = planned.make_states(), theirs = naive.make_states();
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    const TensorMap inputs = model.impl().prepare(suite::random_inputs(model, seed));
    const exec::RunResult got = planned.run(inputs, &ours), want = naive.run(inputs, &theirs);
    ASSERT_EQ(got.outputs.size(), want.outputs.size()) << path;
    for (const auto& [name, datum] : want.outputs) {
      expect_equal(got.outputs.at(name), datum, path.string() + " " + name);
    }
    for (const auto& [name, cell] : theirs.cells()) {
      EXPECT_TRUE(bit_equal(ours.get(name), cell->value)) << path << " " << name;
    }
  }
}

TEST(ForeignDevice, models_give_what_the_naive_executor_gives) {
  const std::filesystem::path data = std::getenv("MW_TEST_DATA");
  std::vector<std::filesystem::path> paths =
      suite::sorted_entries(data / ".." / ".." / "examples" / "shakespeare");
  for (const auto& path : suite::sorted_entries(data / "packages")) paths.push_back(path);
  std::erase_if(paths, [](const auto& path) { return path.extension() != ".mlpackage"; });
  ASSERT_GE(paths.size(), 10U);
  for (const auto& path : paths) expect_as_naive(path);
  // The device was asked for kernels, and given what it did instead.
  EXPECT_GT(foreign().kernels_asked, 0);
  EXPECT_GT(foreign().copies, 0);
  EXPECT_GT(foreign().memory().writes, 0);
  EXPECT_GT(foreign().memory().reads, 0);
  EXPECT_EQ(foreign().memory().blocks(), 0U) << "memory that nobody gave back";
}

// The state is written before the step that fails.
TEST(ForeignDevice, a_run_that_throws_leaves_states_as_they_were) {
  const cpu::TestProgram program(
      "state<tensor<fp32, [2]>> s, tensor<fp32, [2]> x, tensor<int32, [1]> i",
      R"(
    write_state(input = s, data = x);
    tensor<fp32, [1]> y = gather(x = x, indices = i, axis = int32(0));)",
      "y");
  plan::Platform platform = devices::platform("cpu");
  platform.backend = &foreign();
  const exec::Session session(program.function(), program.specialiser(), platform, {});
  exec::States states = session.make_states();
  TensorMap inputs = {{"x", Tensor::from<float>({1, 2}, {2})},
                      {"i", Tensor::from<int32_t>({1}, {1})}};
  EXPECT_EQ(session.run(inputs, &states).outputs.at("y").tensor.number_at(0), 2);
  EXPECT_EQ(states.get("s").number_at(0), 1);
  inputs = {{"x", Tensor::from<float>({3, 4}, {2})}, {"i", Tensor::from<int32_t>({5}, {1})}};
  EXPECT_THROW((void)session.run(inputs, &states), Error);
  EXPECT_EQ(states.get("s").number_at(0), 1);
}

}  // namespace
}  // namespace mw
