// said_aloud(): a text printed as it comes; inform_of(): how long it took, and why it ended.
#pragma once

#include "base/error.h"
#include "cli/command.h"
#include "cli/print.h"
#include "lm/generate.h"

namespace mw::cli {

// To stderr: the notes, a line each, and one line of facts.
void inform_of(const Generation& said);

// What make() says with these hooks, printed as it comes; Ctrl-C ends it. Where it throws, what was
// said so far is a whole line. `told`: whether there was anything.
template <class Make>
Generation said_aloud(lm::GeneratorHooks& hooks, bool& told, const Make& make) {
  told = false;
  hooks.on_text = [&](const std::string& piece) {
    told = true;
    answer_said(piece);
    return true;
  };
  hooks.may_run = [](int64_t /*tokens*/) { return !is_interrupted(); };
  try {
    return make();
  } catch (const Error&) {
    if (told) answer_said("\n");
    throw;
  }
}

}  // namespace mw::cli
