// The command at its borders: files that are none, descriptors that are closed or full, numbers
// that are none, text that is more than text, signals, little memory. One sentence, and exit
// code 1.
#include <fmt/format.h>
#include <sys/stat.h>
#include <algorithm>

#include <sstream>

#include "base/printable.h"
#include "base/tensor_file.h"
#include "package/package.h"
#include "training_cli_testing.h"

namespace mw::testing {
namespace {

// Shell commands with the folder of the test as $D, the command as $MW, the example as $S.
class Borders : public TrainingCli {
 protected:
  void SetUp() override {
    TrainingCli::SetUp();
    if (IsSkipped()) return;
    setenv("D", folder_.c_str(), 1);
    setenv("MW", std::getenv("MW_CLI"), 1);
    setenv("S", model("student.mlpackage").c_str(), 1);
    setenv("T",
           "--data $D/train.txt --seq-len 16 --threads 1 "
           "--output $D/o.mlpackage --overwrite",
           1);
    setenv("O", "--steps 1 --output $D/o.mlpackage", 1);
    setenv("N", "--batch-size 2 --steps 4", 1);
  }
  Answer shell(const std::string& command) const {
    return run(
        {"/bin/bash", "-c", "T=$(eval echo $T); O=$(eval echo $O); ulimit -c 0; " + command});
  }
  // One sentence that holds `part`, after nothing but notes, and exit code 1.
  void expect_sentence(const std::string& command, const std::string& part) const {
    const Answer answer = shell(command);
    EXPECT_EQ(answer.code, 1) << command << "\n" << answer.out;
    std::istringstream lines(answer.out);
    std::string last;
    int sentences = 0;
    for (std::string line; std::getline(lines, line); last = line) {
      if (line.starts_with("millwright") || line.starts_with("code ")) ++sentences;
    }
    EXPECT_EQ(sentences, 1) << command << "\n" << answer.out;
    EXPECT_TRUE(has(last, part)) << command << "\n" << part << " is not in: " << answer.out;
    EXPECT_FALSE(has(answer.out, "internal error")) << answer.out;
  }
  void expect_printable(const std::string& text) const {
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      ASSERT_TRUE(byte >= 0x20 || c == '\n' || c == '\t') << static_cast<int>(byte);
      ASSERT_NE(byte, 0x7f);
    }
    ASSERT_EQ(printable(text, Lines::kKept), text);
  }
};

struct Row {
  std::string command, says;
};

TEST_F(Borders, what_the_file_system_refuses_is_one_sentence) {
  const std::string longest(300, 'a');
  setenv("L", longest.c_str(), 1);
  fs::create_symlink("loop.safetensors", folder_ / "loop.safetensors");
  fs::create_symlink("loop.txt", folder_ / "loop.txt");
  for (const char* pipe : {"pipe.txt", "pipe.npz", "pipe.npy", "pipe.safetensors", "pipe.yaml"}) {
    ASSERT_EQ(mkfifo((folder_ / pipe).c_str(), 0600), 0);
  }
  for (const char* name : {"o.run/step-00000009.safetensors/full", "folder.yaml", "folder.npz"}) {
    fs::create_directories(folder_ / name);
  }
  const Row rows[] = {
      {"$MW run $S --inputs $D/$L.safetensors", "File name too long"},
      {"$MW run $S --inputs $D/loop.safetensors", "symbolic links"},
      {"$MW run $S --inputs $D/pipe.safetensors", "expected a regular file"},
      {"$MW run $S --inputs $D/pipe.npz", "expected a regular file"},
      {"$MW run $S --inputs $D/folder.npz", "expected a regular file"},
      {"$MW run $S --input input_ids=$D/pipe.npy", "expected a regular file"},
      {"$MW run $S --inputs $D/train.txt/x.npz", "train.txt"},
      {"$MW grad $S --inputs $D/loop.safetensors --output $D/g.safetensors", "symbolic links"},
      {"$MW convert $S $D/train.txt/x.mlpackage", "train.txt"},
      {"$MW convert $S $D/$L.mlpackage", "File name too long"},
      {"$MW train $S $O --data $D/$L", "File name too long"},
      {"$MW train $S $O --data $D/loop.txt", "symbolic links"},
      {"$MW train $S $O --data $D/pipe.txt", "expected a regular file"},
      {"$MW train $S $O --data /dev/zero", "expected a regular file"},
      {"$MW train $S $T $N --config $D/loop.safetensors", "symbolic links"},
      {"$MW train $S $T $N --config $D/pipe.yaml", "expected a regular file"},
      {"$MW train $S $T $N --config $D/folder.yaml", "expected a regular file"},
      {"$MW train $S $T $N --checkpoint-dir $D/train.txt", "train.txt"},
      {"$MW train $S $T $N --checkpoint-dir $D/train.txt/run", "train.txt"},
      {"$MW train $S $T $N --checkpoint-dir $D/$L", "File name too long"},
      {"$MW train $S --steps 1 --data $D/valid.txt --output $D/train.txt/o.mlpackage", "train.txt"},
      {"$MW train $S --steps 1 --data $D/valid.txt --output $D/$L/o.mlpackage",
       "File name too long"},
      {"$MW train $S $T $N", "step-00000009.safetensors: cannot remove"},
      {"$MW eval $S --data $D", "expected a regular file"},
      {"$MW eval $S --data $D/pipe.txt", "expected a regular file"},
      {"$MW eval $S --data /dev/zero", "expected a regular file"},
      {"$MW eval $S --data $D/$L", "File name too long"},
  };
  for (const Row& row : rows) expect_sentence(row.command, row.says);
}

TEST_F(Borders, numbers_that_are_none_are_refused_at_the_option) {
  write("twice.yaml", "lr: 0.1\nseed: 1\nlr: 0.2\n");
  write("alike.yaml", "batch-size: 2\nbatch_size: 4\n");
  write("second.yaml", "lr: 0.1\n---\nlr: 0.2\n");
  write("nan.yaml", "lr: .nan\n");
  const std::string train = "$MW train $S $T ", beyond = "99999999999999999999";
  const Row rows[] = {
      {"$MW generate $S --prompt a --temperature nan", "--temperature"},
      {"$MW generate $S --prompt a --temperature -nan", "--temperature"},
      {"$MW generate $S --prompt a --top-p nan", "--top-p"},
      {"$MW generate $S --prompt a --seed " + beyond, "--seed"},
      {"$MW generate $S --prompt a --seed -1", "--seed"},
      {"$MW gradcheck $S --tolerance nan", "--tolerance"},
      {"$MW gradcheck $S --seed " + beyond, "--seed"},
      {train + "--lr nan", "--lr"},
      {train + "--lr inf", "--lr"},
      {train + "--clip nan", "--clip"},
      {train + "--weight-decay nan", "--weight-decay"},
      {train + "--label-smoothing nan", "--label-smoothing"},
      {train + "--optimizer sgd --momentum nan", "--momentum"},
      {train + "--lora-rank 2 --lora-alpha nan", "--lora-alpha"},
      {train + "--group '*:lr=nan'", "--group"},
      {train + "--seed " + beyond, "--seed"},
      {train + "--steps 3000000000", "--steps"},
      {train + "--steps 4 --batch-size 1099511627776 --accumulate 1099511627776", "--accumulate"},
      {"$MW distill --teacher $S --student $S $T $N --alpha nan", "--alpha"},
      {"$MW distill --teacher $S --student $S $T $N --temperature nan", "--temperature"},
      {"$MW train --config $D/twice.yaml", "twice.yaml:3: 'lr' is there twice"},
      {"$MW train --config $D/alike.yaml", "alike.yaml:2: 'batch_size' is there twice"},
      {"$MW train --config $D/second.yaml", "expected one document, got 2"},
      {"$MW train --config $D/nan.yaml", "lr"},
  };
  for (const Row& row : rows) expect_sentence(row.command, row.says);
}

TEST_F(Borders, a_step_of_many_batches_makes_one_at_a_time) {
  Process process(train_words("a", {"--accumulate", "100000000", "--steps", "1"}), folder_ / "log");
  // It would take days; its memory tells by how much it runs ahead.
  int64_t most = 0;
  EXPECT_TRUE(process.wait_until([&] {
    std::ifstream statm(fmt::format("/proc/{}/statm", process.id()));
    int64_t size = 0, resident = 0;
    statm >> size >> resident;
    most = std::max(most, resident * sysconf(_SC_PAGESIZE));
    return process.processor_seconds() > 2;
  })) << process.output();
  EXPECT_GT(most, 0);
  EXPECT_LT(most, int64_t{600} << 20);
}

TEST_F(Borders, a_stderr_that_is_full_or_closed_stops_nothing) {
  const auto trained = [&](const std::string& redirect, int code) {
    fs::remove_all(folder_ / "o.run");
    fs::remove_all(folder_ / "o.mlpackage");
    const Answer answer = shell("$MW train $S $T $N --eval-data $D/valid.txt " + redirect);
    EXPECT_EQ(answer.code, code) << redirect << answer.out;
    EXPECT_TRUE(fs::exists(folder_ / "o.mlpackage/Manifest.json")) << redirect;
    EXPECT_TRUE(fs::exists(folder_ / "o.run/report.html")) << redirect;
    std::ifstream metrics(folder_ / "o.run/metrics.jsonl");
    int lines = 0;
    for (std::string line; std::getline(metrics, line); ++lines) {
      EXPECT_FALSE(nlohmann::json::parse(line, nullptr, false).is_discarded())
          << redirect << ": " << line;
    }
    EXPECT_GE(lines, 4) << redirect;
  };
  trained(">/dev/null 2>/dev/full", 0);
  trained(">/dev/null 2>&-", 0);
  trained(">/dev/null <&- 2>&-", 0);
  trained(">&- 2>&-", 1);  // its answer went nowhere
  trained(">/dev/full 2>&-", 1);
  trained("2>&1 >/dev/null | :", 0);
  expect_sentence("$MW inspect /nope 2>/dev/full; echo code $? >&2; exit 1", "code 1");
}

TEST_F(Borders, an_answer_that_cannot_be_written_is_one_sentence) {
  const std::string full = "stdout: cannot write: No space left on device";
  for (const std::string command :
       {"inspect $S", "inspect $S --json", "inspect $S --mil", "inspect $S --weights",
        "generate $S --prompt a --max-tokens 2 2>&1 >/dev/full | grep -v tokens/s; exit 1; ",
        "eval $S --data $D/valid.txt --json", "tokenize $S hello", "doctor", "doctor --ops",
        "diff $S $S", "--help", "train --help", "--version", "convert $S $D/c.mlpackage"}) {
    expect_sentence("$MW " + command + " >/dev/full", full);
  }
  expect_sentence("$MW inspect $S >&-", "stdout: cannot write");
  const Answer answer = shell("set -o pipefail; $MW inspect $S --mil | :");
  EXPECT_EQ(answer.out, "");
  EXPECT_EQ(answer.code, 128 + SIGPIPE);
}

TEST_F(Borders, text_of_files_is_printed_as_text) {
  const std::string evil = "a\x1b]0;title\x07\nfake: sentence\x7f\xe2\x80\xae\xc2\x9b";
  package::Model made = package::read(model("student.mlpackage"));
  made.metadata.short_description = evil;
  made.metadata.author = evil;
  made.metadata.user_defined["key" + evil.substr(0, 11)] = "value\x1b[2J\rvalue";
  package::write(made, folder_ / "evil.mlpackage", {});
  Tensor ids(DType::kI32, {1, 4});
  write_safetensors(folder_ / "evil.safetensors", {{"input_ids\x1b[31m\n", ids}});
  write("evil.yaml", "\"lr\\e[31m\\n\": 1\n");
  for (const std::string command :
       {"inspect $D/evil.mlpackage", "inspect $D/evil.mlpackage --weights",
        "diff $S $D/evil.mlpackage", "run $S --inputs $D/evil.safetensors",
        "inspect $'/nope\\e[31m\\n\\a.mlpackage'", "inspect $S --function $'main\\e[31m'",
        "convert $S $D/$'o\\e[31m.mlpackage'", "train --config $D/evil.yaml", "$'in\\e[31mspect'",
        "run $S --inputs $D/x.npz $'--in\\e[31m'"}) {
    const Answer answer = shell("$MW " + command);
    EXPECT_NE(answer.out, "");
    expect_printable(answer.out);
    EXPECT_TRUE(has(answer.out, "\\x1b")) << command << "\n" << answer.out;
  }
  expect_printable(shell("$MW inspect $D/evil.mlpackage --plan").out);
  const Answer facts = shell("$MW inspect $D/evil.mlpackage");
  EXPECT_FALSE(has(facts.out, "\nfake")) << facts.out;
  const Answer json = shell("$MW inspect $D/evil.mlpackage --json");
  expect_printable(json.out);
  EXPECT_EQ(nlohmann::json::parse(json.out)["metadata"]["author"], evil);
}

TEST_F(Borders, a_signal_that_ends_processes_saves_first) {
  const Words settings = {"--checkpoint-every", "1000", "--steps", "100000"};
  std::signal(SIGHUP, SIG_DFL);  // under nohup, children would inherit that it is ignored
  for (const int signal : {SIGTERM, SIGHUP}) {
    fs::remove_all(run_folder("a"));
    Process process(train_words("a", settings), folder_ / "log");
    wait_for_lines(process, run_folder("a") / "metrics.jsonl", 3);
    process.send(signal);
    EXPECT_EQ(process.wait(), 128 + signal) << process.output();
    EXPECT_EQ(training::checkpoints_in(run_folder("a")).size(), 1U) << process.output();
    EXPECT_TRUE(has(process.output(), "to go on:")) << process.output();
  }
}

TEST_F(Borders, a_terminal_that_ends_does_not_stop_what_ignores_it) {
  const Answer answer = shell(
      "trap '' HUP; $MW train $S $T --batch-size 2 --steps 40 2>&1 & child=$!; "
      "for i in $(seq 2000); do [ -s $D/o.run/metrics.jsonl ] && break; sleep 0.01; done; "
      "kill -HUP $child; wait $child");
  EXPECT_EQ(answer.code, 0) << answer.out;
  EXPECT_TRUE(fs::exists(folder_ / "o.mlpackage"));
}

TEST_F(Borders, positions_that_a_checkpoint_cannot_have_are_refused) {
  ASSERT_EQ(train("a").code, 0);
  const fs::path path = training::checkpoints_in(run_folder("a")).back().path;
  const training::Checkpoint good = training::read_checkpoint(path);
  const auto refused = [&](const training::Checkpoint& bent, const std::string& says) {
    training::write_checkpoint(folder_ / "bent.safetensors", bent);
    const Answer answer =
        train("b", {"--resume-from", scratch("bent.safetensors"), "--steps", "9", "--overwrite"});
    expect_refusal(answer, {"bent.safetensors", says});
    EXPECT_FALSE(fs::exists(scratch("b.mlpackage")));
  };
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  for (const int64_t cursor : {int64_t{-1}, kMost, -kMost - 1, int64_t{15}, int64_t{0}}) {
    training::Checkpoint bent = good;
    bent.position.cursor = cursor;
    refused(bent, "its cursor: expected");
  }
  for (const int64_t step : {int64_t{-1}, -kMost - 1, kMost, int64_t{7}}) {
    training::Checkpoint bent = good;
    bent.position.step = step;
    refused(bent, "expected");
    bent.state["step"] = Tensor::scalar(step);
    refused(bent, "expected");
  }
  training::Checkpoint bent = good;
  bent.position.tokens = 1 << 20;
  refused(bent, "its tokens: expected at most");
  bent = good;
  bent.position.step = 7;
  refused(bent, "its step: expected one number, got 7 in its position and 8 in its state");
  for (const auto& [name, value] : good.position.fixed) {
    bent = good;
    bent.position.fixed.erase(name);
    std::string option = "--" + name;
    std::replace(option.begin(), option.end(), '_', '-');
    refused(bent, "expected a checkpoint that tells its " + option + ", got none");
  }
  bent = good;
  bent.position.best_step = 9;
  refused(bent, "its best_step: expected at most");
  bent = good;
  bent.position.seconds = -1;
  refused(bent, "its seconds: expected");
  std::string first, second;
  for (const auto& [name, tensor] : good.state) {
    if (name.ends_with(".m")) first = name;
    if (name.ends_with(".v")) second = name;
  }
  for (const auto& [name, value] : std::vector<std::pair<std::string, double>>{
           {first, NAN}, {first, INFINITY}, {second, NAN}, {second, -1e-6}}) {
    bent = good;
    bent.state[name] = good.state.at(name).clone();
    bent.state[name].set_number(1, value);
    refused(bent, "'" + name + "': expected");
  }
  bent = good;
  bent.state["other"] = Tensor::scalar(1.0F);
  refused(bent, "'other' is unknown");
  bent = good;
  bent.state["step"] = Tensor::scalar(8.0F);
  refused(bent, "expected");
}

TEST_F(Borders, examples_without_a_label_that_counts_are_left_out_and_noted) {
  const Answer fine = train("a", {"--eval-data", scratch("valid.txt")});
  ASSERT_EQ(fine.code, 0) << fine.out;
  // The first of four examples alone has labels that count.
  Tensor ids(DType::kI32, {4, 16}), labels(DType::kI32, {4, 16});
  for (int64_t i = 0; i < labels.count(); ++i) labels.set_integer(i, i < 16 ? 1 : -100);
  write_safetensors(folder_ / "some.safetensors", {{"input_ids", ids}, {"labels", labels}});
  for (int64_t i = 0; i < labels.count(); ++i) labels.set_integer(i, -100);
  write_safetensors(folder_ / "none.safetensors", {{"input_ids", ids}, {"labels", labels}});
  const auto train_on = [&](const std::string& data, const Words& more) {
    Words words = {"train",        model("student.mlpackage"),
                   "--data",       scratch(data),
                   "--output",     scratch("n.mlpackage"),
                   "--steps",      "4",
                   "--batch-size", "1",
                   "--overwrite"};
    words.insert(words.end(), more.begin(), more.end());
    return millwright(words);
  };
  const Answer answer = train_on("some.safetensors", {});
  EXPECT_EQ(answer.code, 0) << answer.out;
  EXPECT_TRUE(has(answer.out, "3 of 4 examples have no label that counts and are left out"))
      << answer.out;
  expect_refusal(train_on("none.safetensors", {}), {"counts"});
  expect_refusal(train_on("some.safetensors", {"--eval-data", scratch("none.safetensors")}),
                 {"none.safetensors", "counts"});
}

TEST_F(Borders, little_memory_is_told_and_never_a_fault_of_ours) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the address sanitizer needs more addresses than the limit leaves";
#endif
  if (has(shell("$MW doctor").out, "OpenBLAS")) {
    GTEST_SKIP() << "OpenBLAS asks for its buffers for ever, before the program begins";
  }
  int refused = 0;
  for (const int megabytes : {100, 112, 116, 120, 124, 128, 140, 160, 200, 300, 500, 700}) {
    const Answer answer = shell(
        fmt::format("ulimit -v {}; $MW train $S $T --batch-size 2 --steps 1", megabytes * 1024));
    // Below what the program and its libraries take, the loader speaks, with a code of its own.
    if (has(answer.out, "error while loading shared libraries")) continue;
    EXPECT_TRUE(answer.code == 0 || answer.code == 1) << megabytes << ": " << answer.code << "\n"
                                                      << answer.out;
    if (answer.code == 1) ++refused;
  }
  EXPECT_GT(refused, 0);
}

TEST_F(Borders, an_unknown_device_is_answered_with_those_there_are) {
  const std::string says = "device: expected one of cpu, got 'abacus'";
  expect_sentence("$MW eval $S --data $D/valid.txt --device abacus", says);
  expect_sentence("$MW train $S $T --device abacus", says);
}

TEST_F(Borders, threads_that_the_system_does_not_start_are_one_sentence) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the address sanitizer needs more addresses than the limit leaves";
#endif
  expect_sentence("ulimit -v 1500000; $MW eval $S --data $D/valid.txt --threads 1024",
                  "threads: the system starts");
}

}  // namespace
}  // namespace mw::testing
