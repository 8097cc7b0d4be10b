// The millwright command: parses the command line and turns errors into one sentence and an exit
// code.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <sstream>

#include "base/error.h"
#include "base/os.h"
#include "cli/command.h"
#include "cli/print.h"
#include "cli/spelling.h"

namespace {

using namespace mw::cli;  // NOLINT(google-build-using-namespace)

// Threads that wait for one another spin for a while before they sleep. The default, milliseconds,
// costs far more than it saves as soon as another process wants the same core. The runtime reads
// its settings when it is loaded, so the process has to start again.
void restart_with_short_spins(char** argv) {
  for (const char* known : {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}) {
    if (std::getenv(known) != nullptr) return;
  }
  setenv("GOMP_SPINCOUNT", "4000", 1);
  mw::os::restart(argv);
}

bool is_upper(char c) { return std::isupper(static_cast<unsigned char>(c)) != 0; }

// One line for what CLI11 says in two; it begins like all our messages.
void print_parse_error(const CLI::App& app, const CLI::ParseError& error) {
  std::string command = "millwright";
  for (const CLI::App* chosen : app.get_subcommands()) command += " " + chosen->get_name();
  std::string text = error.what();
  const std::vector<std::string> rest = app.remaining();
  if (app.get_subcommands().empty() && !rest.empty()) {
    text = fmt::format("'{}' is no command", rest[0]);
  }
  std::replace(text.begin(), text.end(), '\n', ' ');
  const bool is_sentence = text.size() > 1 && is_upper(text[0]) && !is_upper(text[1]);
  if (is_sentence) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  inform("{}: {}; see {} --help\n", command, text, command);
}

void add_commands(CLI::App& app) {
  add_inspect(app);
  add_run(app);
  add_tokenize(app);
  add_generate(app);
  add_chat(app);
  add_eval(app);
  add_convert(app);
  add_link(app);
  add_diff(app);
  add_train(app);
  add_distill(app);
  add_grad(app);
  add_gradcheck(app);
  add_doctor(app);
}

int run_command(int argc, char** argv) {
  CLI::App app("Millwright opens Core ML models, runs them, trains them and writes them back.",
               "millwright");
  app.set_version_flag("--version", MW_VERSION);
  app.require_subcommand(1);
  app.option_defaults()->always_capture_default(false);
  add_commands(app);
  int code = 0;
  try {
    app.parse(argc, argv);
  } catch (const CLI::RuntimeError& e) {  // a command whose answer is its exit code
    code = e.get_exit_code();
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() != 0) {
      print_parse_error(app, e);
      return 1;
    }
    std::ostringstream help;
    app.exit(e, help, help);
    answer_bytes(help.str());
  }
  flush_answers();
  return code;
}

// What a command ends with that throws; in a catch block.
int exit_code_of_exception() noexcept {
  std::fflush(stdout);
  try {
    throw;
  } catch (const Interrupted&) {
    inform_text("millwright: interrupted\n");
    return interrupt_exit_code();
  } catch (const std::bad_alloc&) {
    inform_text("millwright: out of memory; a smaller batch or sequence needs less\n");
    return 1;
  } catch (...) {
    try {
      const mw::Error error = mw::current_error();
      inform("millwright: {}\n", told(error));
      return error.exit_code();
    } catch (...) {
      inform_text("millwright: out of memory\n");
      return 1;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  mw::cli::secure_descriptors();
  restart_with_short_spins(argv);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of the write
  std::signal(SIGPIPE, SIG_IGN);  // a pipe that is closed, too: print.h says what comes of it
  try {
    return run_command(argc, argv);
  } catch (...) {
    return exit_code_of_exception();
  }
}
