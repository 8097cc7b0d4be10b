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
  // Of a command that tells a loss: which one, of which output where it is named, over what file.
  std::string loss, target;
  fs::path data;
  int64_t batch = 0;    // examples of a step; 0: all of the file at once
  bool judges = false;  // it answers by its exit code
};

struct Subject {
  fs::path model, tokenizer;    // `tokenizer` may be absent
  std::string text;             // to train on and to score
  std::string prompt, opening;  // to continue; a shorter one
};

// The commands for a model, with small inputs and labels written to `folder`, where their results
// go as well. Text that a model cannot be given is a part of it: that, too, must be a sentence.
std::vector<Verb> verbs_of(const Subject& subject, const fs::path& folder);

// "", or what is wrong with what a command said on stderr: lines of the forms that notes have,
// and, where it ended with exit code 1, one sentence behind them.
std::string fault_of_notes(const std::string& text, bool failed);

// Text without what differs from run to run: times, rates, and the memory of the process.
std::string without_times(const std::string& text);

}  // namespace mw::testing
