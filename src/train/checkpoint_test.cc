// Checkpoints, metrics and the report: there and back, and what is refused.
#include "train/checkpoint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "base/testing.h"
#include "millwright/error.hpp"
#include "train/metrics.h"
#include "train/report.h"

namespace mw::training {
namespace {

namespace fs = std::filesystem;

class Checkpoints : public ::testing::Test {
 protected:
  static Checkpoint example() {
    Checkpoint checkpoint;
    checkpoint.state["w"] = Tensor::from<float>({1.5F, -0.0F, 1e-40F, 3}, {2, 2});
    checkpoint.state["w.m"] = Tensor::from<double>({0.1, 0.2}, {2});
    checkpoint.state["step"] = Tensor::scalar<int32_t>(12);
    checkpoint.position.step = 12;
    checkpoint.position.cursor = 96;
    checkpoint.position.best_loss = 1.0 / 3;
    checkpoint.position.fixed = {{"seed", "5"}};
    return checkpoint;
  }
  static std::string read(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static void write(const fs::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }

  const testing::TempFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

TEST_F(Checkpoints, come_back_bit_for_bit) {
  const fs::path path = folder_ / checkpoint_name(12);
  const Checkpoint wrote = example();
  write_checkpoint(path, wrote);
  const Checkpoint got = read_checkpoint(path);
  ASSERT_EQ(got.state.size(), wrote.state.size());
  for (const auto& [name, tensor] : wrote.state) EXPECT_TRUE(bit_equal(tensor, got.state.at(name)));
  EXPECT_EQ(got.position.step, 12);
  EXPECT_EQ(got.position.cursor, 96);
  EXPECT_EQ(got.position.best_loss, wrote.position.best_loss);
  EXPECT_EQ(got.position.fixed, wrote.position.fixed);
}

// Earlier versions wrote options as they were typed.
TEST_F(Checkpoints, with_options_for_settings_open) {
  const fs::path path = folder_ / checkpoint_name(12);
  Checkpoint old = example();
  old.position.fixed = {{"--batch-size", "8"}, {"--data", "0f"}, {"--lora-rank", "4"}};
  write_checkpoint(path, old);
  const std::map<std::string, std::string> settings = {
      {"batch_size", "8"}, {"data", "0f"}, {"lora_rank", "4"}};
  EXPECT_EQ(read_checkpoint(path).position.fixed, settings);
}

TEST_F(Checkpoints, are_refused_after_any_damage) {
  const fs::path path = folder_ / checkpoint_name(12);
  write_checkpoint(path, example());
  const std::string whole = read(path);
  for (size_t at = 0; at < whole.size(); at += 7) {
    std::string bent = whole;
    bent[at] = static_cast<char>(bent[at] ^ 0x10);
    write(path, bent);
    try {
      const Checkpoint got = read_checkpoint(path);
      // A padding byte of the header may change without harm.
      for (const auto& [name, tensor] : example().state) {
        ASSERT_TRUE(bit_equal(tensor, got.state.at(name))) << at;
      }
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("damaged checkpoint"), std::string::npos) << e.what();
    }
  }
  for (const size_t size : {size_t{0}, size_t{5}, whole.size() / 2, whole.size() - 1}) {
    write(path, whole.substr(0, size));
    EXPECT_THROW((void)read_checkpoint(path), Error) << size;
  }
}

TEST_F(Checkpoints, are_listed_by_step_and_only_the_last_are_kept) {
  for (const int64_t step : {100, 20, 3}) write(folder_ / checkpoint_name(step), "x");
  write(folder_ / kBestCheckpoint, "x");
  const fs::path leftover = folder_ / ("." + checkpoint_name(7) + ".writing-1-2-0123456789abcdef");
  write(leftover, "x");
  write(folder_ / "step-x.safetensors", "x");
  const auto files = checkpoints_in(folder_);
  ASSERT_EQ(files.size(), 3U);
  EXPECT_EQ(files[0].step, 3);
  EXPECT_EQ(files[2].step, 100);
  tidy_checkpoints(folder_, 2);
  ASSERT_EQ(checkpoints_in(folder_).size(), 2U);
  EXPECT_EQ(checkpoints_in(folder_)[0].step, 20);
  EXPECT_TRUE(fs::exists(folder_ / kBestCheckpoint));
  EXPECT_FALSE(fs::exists(leftover));
}

TEST_F(Checkpoints, metrics_go_on_after_the_step_that_is_resumed) {
  const fs::path path = folder_ / "metrics.jsonl";
  {
    MetricsFile metrics(path, -1);
    for (int64_t step = 1; step <= 4; ++step) {
      StepRecord record;
      record.step = step;
      record.loss = 1.0 / static_cast<double>(step);
      if (step == 2) record.valid_loss = 0.7;
      metrics.append(record);
    }
  }
  write(path, read(path) + "{\"step\": 5, \"lo");
  const MetricsFile metrics(path, 3);
  ASSERT_EQ(metrics.records().size(), 3U);
  EXPECT_EQ(metrics.records()[2].loss, 1.0 / 3);
  EXPECT_EQ(metrics.records()[1].valid_loss, 0.7);
  EXPECT_EQ(read_metrics(path).size(), 3U);
}

TEST(Report, is_one_page_without_anything_from_elsewhere) {
  Report report;
  report.title = "<model>";
  report.samples = {{"Before", "To be & ", "or <b>"}};
  report.settings = {{"--lr", "0.001"}};
  for (int64_t step = 0; step < 5000; ++step) {
    StepRecord record;
    record.step = step;
    if (step > 0) record.loss = 5.0 / static_cast<double>(step);
    if (step % 1000 == 0) record.valid_loss = 1.25;
    report.records.push_back(record);
  }
  report.records[77].loss = NAN;
  const std::string html = html_of(report);
  EXPECT_EQ(html.find("http"), std::string::npos);
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find("nan"), std::string::npos);
  EXPECT_NE(html.find("&lt;model&gt;"), std::string::npos);
  EXPECT_NE(html.find("To be &amp; </b>or &lt;b&gt;"), std::string::npos);
  EXPECT_NE(html.find("validation at step 2000: 1.25<"), std::string::npos);
  EXPECT_LT(html.size(), 200'000U);
}

size_t occurrences(const std::string& html, const std::string& part) {
  size_t count = 0;
  for (size_t at = html.find(part); at != std::string::npos; at = html.find(part, at + 1)) ++count;
  return count;
}

TEST(Report, draws_a_point_where_there_is_no_line) {
  Report report;
  StepRecord record;
  record.step = 1;
  record.loss = record.grad_norm = 2;
  record.learning_rate = 0;  // a range of nothing
  report.records = {record};
  const std::string html = html_of(report);
  EXPECT_EQ(occurrences(html, "<svg"), 3U);
  EXPECT_EQ(occurrences(html, "<circle"), 3U);
  EXPECT_EQ(occurrences(html, ">step</text>"), 3U);
  EXPECT_EQ(html.find("nan"), std::string::npos);
  EXPECT_EQ(html.find("inf"), std::string::npos);
  EXPECT_EQ(html.find(">-"), std::string::npos);  // a label below zero
  EXPECT_EQ(html.find("each step"), std::string::npos);
  EXPECT_EQ(occurrences(html_of(Report()), "<svg"), 0U);
}

}  // namespace
}  // namespace mw::training
