// Every command of `millwright`, given one model: what the suites share that try all of them.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace mw::testing {

namespace fs = std::filesystem;

struct Outcome {
  int code = -1;  // of the process, or minus the signal that ended it
  std::string out, err;
};

// Runs a command to its end, or kills it after `seconds`; `variables` are added to the environment.
Outcome run_command(const std::vector<std::string>& words,
                    const std::map<std::string, std::string>& variables, double seconds);

struct Verb {
  std::string name;
  std::vector<std::string> words;
  std::vector<fs::path> files;  // what it writes, folders included
};

struct Subject {
  fs::path model, tokenizer;  // `tokenizer` may be absent
  std::string text, prompt;   // to train on and to continue
};

// The commands for a model, with small inputs and labels written to `folder`, where their results
// go as well. Text that a model cannot be given is a part of it: that, too, must be a sentence.
std::vector<Verb> verbs_of(const Subject& subject, const fs::path& folder);

// Text without what differs from run to run: times, rates, and the memory of the process.
std::string without_times(const std::string& text);

}  // namespace mw::testing
