// Tests of `train`, `distill`, `grad` and `gradcheck` as commands: what they write and refuse.
#include "training_cli_testing.h"

#include "base/tensor_file.h"

namespace mw::testing {
namespace {

TEST_F(TrainingCli, no_step_changes_no_weight) {
  const Answer answer = millwright(
      {"train", model("student.mlpackage"), "--steps", "0", "--output", scratch("same.mlpackage")});
  ASSERT_EQ(answer.code, 0) << answer.out;
  EXPECT_EQ(weights(scratch("same.mlpackage")), weights(model("student.mlpackage")));
  EXPECT_FALSE(weights(model("student.mlpackage")).empty());
}

TEST_F(TrainingCli, writes_a_package_metrics_and_a_report) {
  const Answer answer = train(
      "a", {"--eval-data", scratch("valid.txt"), "--eval-every", "4", "--json", "--lr", "0.01"});
  ASSERT_EQ(answer.code, 0) << answer.out;
  const auto json = nlohmann::json::parse(answer.out.substr(answer.out.find('{')), nullptr, false);
  ASSERT_TRUE(json.is_object()) << answer.out;
  EXPECT_EQ(json["step"], 8);
  EXPECT_EQ(json["tokens"], 8 * 2 * 16);
  EXPECT_EQ(json["best_valid_loss"], json["valid_loss"]);
  EXPECT_EQ(lines_of(run_folder("a") / "metrics.jsonl"), 9);  // 0 to 8
  const std::string metrics = read_file(run_folder("a") / "metrics.jsonl");
  const auto first = nlohmann::json::parse(metrics.substr(0, metrics.find('\n')));
  EXPECT_LT(json["valid_loss"].get<double>(), first["valid_loss"].get<double>());
  EXPECT_TRUE(fs::exists(run_folder("a") / "best.safetensors"));
  const std::string report = read_file(run_folder("a") / "report.html");
  for (const char* part : {"<svg", "Before", "After", "batch_size", "0.01", "weight_decay",
                           "finished after 8 steps"}) {
    EXPECT_TRUE(has(report, part)) << part;
  }
  EXPECT_NE(weights(scratch("a.mlpackage")), weights(model("student.mlpackage")));
  const Answer eval =
      millwright({"eval", scratch("a.mlpackage"), "--data", scratch("valid.txt"), "--seq-len", "16",
                  "--tokenizer", model("tokenizer.json"), "--json"});
  ASSERT_EQ(eval.code, 0) << eval.out;
  const auto loss = nlohmann::json::parse(eval.out.substr(eval.out.find('{')))["mean_loss"];
  // The package may hold its weights with fewer digits than the run.
  EXPECT_NEAR(loss.get<double>(), json["valid_loss"].get<double>(), 1e-3);
}

TEST_F(TrainingCli, the_seed_decides_the_order_of_the_examples) {
  ASSERT_EQ(train("a").code, 0);
  ASSERT_EQ(train("b").code, 0);
  ASSERT_EQ(train("c", {"--seed", "1"}).code, 0);
  expect_same_training("a", "b");
  EXPECT_NE(weights(scratch("a.mlpackage")), weights(scratch("c.mlpackage")));
}

TEST_F(TrainingCli, token_ids_may_have_another_name) {
  ASSERT_EQ(train("a").code, 0);
  const Answer renamed = millwright({"convert", model("student.mlpackage"),
                                     scratch("renamed.mlpackage"), "--rename", "input_ids=tokens"});
  ASSERT_EQ(renamed.code, 0) << renamed.out;
  Words words = train_words("b", {"--tokenizer", model("tokenizer.json")});
  words[2] = scratch("renamed.mlpackage");
  const Answer answer = run(words);
  ASSERT_EQ(answer.code, 0) << answer.out;
  EXPECT_EQ(weights(scratch("a.mlpackage")), weights(scratch("b.mlpackage")));
}

TEST_F(TrainingCli, a_loss_that_is_not_finite_stops_the_run_and_names_the_op) {
  const Answer answer = train("a", {"--optimizer", "sgd", "--lr", "1e25"});
  expect_refusal(answer, {"step ", "not finite; lower --lr or set --clip"});
  EXPECT_FALSE(fs::exists(scratch("a.mlpackage")));
}

// No step follows whose loss would tell.
TEST_F(TrainingCli, weights_that_the_last_step_made_infinite_are_not_written) {
  for (const Words& more : {Words{}, Words{"--lora-rank", "2"}}) {
    Words words = {"--steps", "1", "--optimizer", "sgd", "--lr", "1e30", "--weight-decay", "1e30"};
    words.insert(words.end(), more.begin(), more.end());
    expect_refusal(train("a", words), {"expected finite numbers to write, got"});
    EXPECT_FALSE(fs::exists(scratch("a.mlpackage")));
    fs::remove_all(run_folder("a"));
  }
}

TEST_F(TrainingCli, arrays_train_like_texts) {
  Tensor ids(DType::kI32, {10, 16}), labels(DType::kI32, {10, 16});
  for (int64_t i = 0; i < ids.count(); ++i) {
    ids.set_integer(i, i * 7 % 500);
    labels.set_integer(i, (i + 1) * 7 % 500);
  }
  const std::string data = scratch("arrays.safetensors");
  write_safetensors(data, {{"input_ids", ids}, {"labels", labels}});
  const Words words = {"train",        model("student.mlpackage"),
                       "--data",       data,
                       "--steps",      "4",
                       "--batch-size", "4",
                       "--eval-data",  data,
                       "--output"};
  Words good = words;
  good.push_back(scratch("a.mlpackage"));
  const Answer answer = millwright(good);
  ASSERT_EQ(answer.code, 0) << answer.out;
  EXPECT_TRUE(has(answer.out, "validation"));
  write_safetensors(data, {{"input_ids", ids}});
  Words bad = words;
  bad.push_back(scratch("b.mlpackage"));
  expect_refusal(millwright(bad), {"arrays.safetensors", "labels"});
}

TEST_F(TrainingCli, a_folder_of_conversations_trains_on_the_answers) {
  fs::create_directories(folder_ / "data");
  std::string lines;
  for (int i = 0; i < 20; ++i) {
    lines += R"({"prompt": "Who comes there, )" + std::to_string(i) +
             R"(?", "completion": " A friend."})"
             "\n";
  }
  for (const char* name : {"train", "valid", "test"}) {
    write("data/" + std::string(name) + ".jsonl", lines);
  }
  const Words words = {"train",     model("student.mlpackage"),
                       "--data",    scratch("data"),
                       "--steps",   "3",
                       "--seq-len", "32",
                       "--output",  scratch("a.mlpackage")};
  const Answer answer = millwright(words);
  ASSERT_EQ(answer.code, 0) << answer.out;
  EXPECT_TRUE(has(answer.out, "test  ")) << answer.out;
  write("data/train.jsonl", lines + "{\"prompt\": 5}\n");
  expect_refusal(millwright(words), {"train.jsonl:21: prompt: expected a text, got number"});
}

TEST_F(TrainingCli, a_configuration_file_holds_the_same_keys) {
  ASSERT_EQ(train("a", {"--lr", "0.01", "--trainable", "*wq*", "*wk*"}).code, 0);
  const std::string config = write(
      "config.yaml", "model: " + model("student.mlpackage") + "\ndata: " + scratch("train.txt") +
                         "\noutput: " + scratch("b.mlpackage") +
                         "\nsteps: 8\nbatch_size: 2\nseq-len: 16\nthreads: 1\nlr: 5\n"
                         "checkpoint-every: 2\ntrainable: ['*wq*', '*wk*']\n");
  const Answer answer = millwright({"train", "--config", config, "--lr", "0.01"});
  ASSERT_EQ(answer.code, 0) << answer.out;
  expect_same_training("a", "b");
  write("config.yaml", "steps: 8\nstep: 9\n");
  expect_refusal(millwright({"train", "--config", config}), {"config.yaml:2: 'step' is no option"});
  write("config.yaml", "data: x\nsteps: many\n");
  expect_refusal(millwright({"train", "--config", config}), {"config.yaml:2:", "many"});
}

TEST_F(TrainingCli, a_step_within_a_memory_budget_trains_the_same_weights) {
  const Words batch = {"--batch-size", "16", "--seq-len", "64", "--steps", "3", "--json"};
  const auto with = [&](const std::string& name, const std::string& memory) {
    Words words = batch;
    if (!memory.empty()) words.insert(words.end(), {"--memory", memory});
    return train(name, words);
  };
  const auto bytes_of = [](const Answer& answer) {
    return nlohmann::json::parse(answer.out.substr(answer.out.find("\n{") + 1))["step_bytes"]
        .get<uint64_t>();
  };
  const Answer whole = with("a", "");
  ASSERT_EQ(whole.code, 0) << whole.out;
  const uint64_t budget = bytes_of(whole) * 7 / 10;
  const Answer less = with("b", std::to_string(budget));
  ASSERT_EQ(less.code, 0) << less.out;
  EXPECT_LE(bytes_of(less), budget);
  expect_same_training("a", "b");
  expect_refusal(with("c", "1MiB"), {"memory: expected at least", "got 1.0 MB"});
  expect_refusal(with("c", "much"), {"--memory"});
  expect_refusal(with("c", "-5"), {"--memory"});
}

TEST_F(TrainingCli, trains_in_double_precision) {
  const Words short_run = {"--steps", "1", "--seq-len", "8", "--checkpoint-every", "1"};
  const auto with = [&](const std::string& name, const std::string& compute) {
    Words words = short_run;
    words.insert(words.end(), {"--compute", compute});
    return train(name, words);
  };
  const Answer exact = with("exact", "fp64"), single = with("single", "fp32");
  ASSERT_EQ(exact.code, 0) << exact.out;
  ASSERT_EQ(single.code, 0) << single.out;
  const TensorMap want = last_state("exact"), got = last_state("single");
  ASSERT_EQ(want.size(), got.size());
  double largest = 0;
  for (const auto& [name, tensor] : want) {
    if (name == "step") continue;
    EXPECT_EQ(tensor.dtype(), DType::kF64) << name;
    ASSERT_EQ(tensor.shape(), got.at(name).shape()) << name;
    for (int64_t i = 0; i < tensor.count(); ++i) {
      const double difference = std::abs(tensor.number_at(i) - got.at(name).number_at(i));
      EXPECT_LT(difference, 1e-3) << name;
      largest = std::max(largest, difference);
    }
  }
  EXPECT_GT(largest, 0);
  expect_refusal(with("c", "fp16"),
                 {"--compute: expected fp32, bf16 or fp64 to train in, got fp16"});
  expect_refusal(train("c", {"--compute", "fp64", "--memory", "1GiB"}),
                 {"memory: expected no limit where a program is computed op by op"});
}

TEST_F(TrainingCli, a_group_has_its_own_learning_rate_and_decay) {
  const Words rest = {"--trainable", "layers_1_*", "--optimizer", "sgd",
                      "--lr",        "0.02",       "--steps",     "2"};
  const auto with = [&](Words more) {
    more.insert(more.end(), rest.begin(), rest.end());
    return more;
  };
  ASSERT_EQ(train("a", rest).code, 0);
  ASSERT_EQ(train("b", with({"--group", "*:lr=5,decay=7", "*:lr=0.02,decay=0"})).code, 0);
  expect_same_training("a", "b");
  const Answer answer = train("c", with({"--group", "*_wq_*:lr=0", "*_wk_*:decay=0.5"}));
  ASSERT_EQ(answer.code, 0) << answer.out;
  ASSERT_EQ(train("still", {"--trainable", "layers_1_*", "--lr", "0", "--steps", "2"}).code, 0);
  const TensorMap plain = last_state("a"), grouped = last_state("c"), still = last_state("still");
  EXPECT_TRUE(bit_equal(grouped.at("layers_1_attention_wq_weight"),
                        still.at("layers_1_attention_wq_weight")));
  EXPECT_FALSE(bit_equal(grouped.at("layers_1_attention_wk_weight"),
                         plain.at("layers_1_attention_wk_weight")));
  const std::string config =
      write("config.yaml", "group: ['*_wq_*:lr=0', '*_wk_*:decay=0.5']\nlr: 0.02\n");
  ASSERT_EQ(train("d", {"--trainable", "layers_1_*", "--optimizer", "sgd", "--steps", "2",
                        "--config", config})
                .code,
            0);
  expect_same_training("c", "d");
}

TEST_F(TrainingCli, distillation_learns_from_a_teacher) {
  const auto distill = [&](const std::string& name, const std::string& alpha) {
    return millwright({"distill", "--teacher", model("model.mlpackage"), "--student",
                       model("student.mlpackage"), "--data", scratch("train.txt"), "--output",
                       scratch(name + ".mlpackage"), "--steps", "3", "--batch-size", "2",
                       "--seq-len", "16", "--threads", "1", "--alpha", alpha});
  };
  const Answer answer = distill("a", "0.9");
  ASSERT_EQ(answer.code, 0) << answer.out;
  ASSERT_EQ(distill("b", "0").code, 0);
  EXPECT_NE(weights(scratch("a.mlpackage")), weights(scratch("b.mlpackage")));
  expect_refusal(millwright({"distill", "--student", model("student.mlpackage"), "--data", "x",
                             "--output", scratch("c.mlpackage")}),
                 {"--teacher"});
}

TEST_F(TrainingCli, grad_writes_the_loss_and_a_gradient_per_parameter) {
  Tensor ids(DType::kI32, {2, 8});
  for (int64_t i = 0; i < ids.count(); ++i) ids.set_integer(i, i * 31 % 900);
  const std::string inputs = scratch("batch.safetensors"), output = scratch("grad.safetensors");
  write_safetensors(inputs, {{"input_ids", ids}, {"labels", ids}});
  const Answer answer = millwright(
      {"grad", model("student.mlpackage"), "--inputs", inputs, "--output", output, "--json"});
  ASSERT_EQ(answer.code, 0) << answer.out;
  const TensorMap tensors = read_tensors(output);
  const auto json = nlohmann::json::parse(answer.out.substr(answer.out.find('{')));
  EXPECT_NEAR(tensors.at("loss").number_at(0), json["loss"].get<double>(), 1e-6);
  EXPECT_EQ(tensors.size(), json["gradients"].size() + 1);
  double squares = 0;
  for (const auto& [name, tensor] : tensors) {
    if (name == "loss") continue;
    EXPECT_TRUE(name.starts_with("grad.")) << name;
    for (int64_t i = 0; i < tensor.count(); ++i) {
      squares += tensor.number_at(i) * tensor.number_at(i);
    }
  }
  EXPECT_NEAR(std::sqrt(squares), json["grad_norm"].get<double>(), 1e-4 * std::sqrt(squares));
  expect_refusal(millwright({"grad", model("student.mlpackage"), "--inputs", inputs, "--output",
                             output, "--wrt-inputs"}),
                 {"no input of floats"});
}

TEST_F(TrainingCli, gradcheck_tells_good_gradients_from_bad_ones) {
  const Words words = {
      "gradcheck", model("student.mlpackage"), "--trainable", "layers_0_*w*", "--directions", "1"};
  const Answer answer = millwright(words);
  EXPECT_EQ(answer.code, 0) << answer.out;
  EXPECT_TRUE(has(answer.out, "all within the tolerance")) << answer.out;
  Words strict = words;
  strict.insert(strict.end(), {"--tolerance", "0"});
  EXPECT_EQ(millwright(strict).code, 1);
}

TEST_F(TrainingCli, says_what_is_missing) {
  expect_refusal(millwright({"train", model("student.mlpackage")}), {"--output"});
  expect_refusal(millwright({"train", model("student.mlpackage"), "--output", "x.onnx", "--data",
                             scratch("train.txt")}),
                 {"x.onnx", ".mlpackage"});
  expect_refusal(train("a", {"--seq-len", "4096"}), {"--seq-len", "takes at most"});
  expect_refusal(train("a", {"--momentum", "0.9"}), {"--momentum: expected --optimizer sgd"});
  expect_refusal(train("a", {"--beta1", "1"}), {"--beta1: expected a number in [0, 1), got 1"});
  expect_refusal(train("a", {"--schedule", "stairs"}),
                 {"--schedule: expected constant, linear, cosine or step"});
  expect_refusal(train("a", {"--trainable", "nothing*"}), {"nothing*"});
  expect_refusal(train("a", {"--group", "nothing*:lr=1"}), {"group 'nothing*'"});
  expect_refusal(train("a", {"--group", "*norm*"}), {"--group '*norm*'", "GLOB:lr=NUMBER"});
  expect_refusal(train("a", {"--group", "*:rate=1"}), {"'rate=1'"});
  expect_refusal(train("a", {"--group", "*:decay=-1"}), {"'decay=-1'"});
  expect_refusal(train("a", {"--lr", "0", "--group", "*:lr=1"}), {"--lr above 0"});
  expect_refusal(train("a", {"--eval-data", scratch("absent.txt")}), {"absent.txt"});
}

}  // namespace
}  // namespace mw::testing
