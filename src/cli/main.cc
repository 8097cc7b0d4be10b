// The millwright command: parses the command line and turns errors into one sentence and an exit
// code.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "cli/command.h"

namespace {

// Threads that wait for one another spin for a while before they sleep. The default, milliseconds,
// costs far more than it saves as soon as another process wants the same core. The runtime reads
// its settings when it is loaded, so the process has to start again.
void restart_with_short_spins(char** argv) {
  for (const char* known : {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}) {
    if (std::getenv(known) != nullptr) return;
  }
  setenv("GOMP_SPINCOUNT", "4000", 1);
  execv("/proc/self/exe", argv);  // without /proc it runs on as it is
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
  fmt::print(stderr, "{}: {}; see {} --help\n", command, text, command);
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): what is thrown here has nobody to be told
int main(int argc, char** argv) {
  restart_with_short_spins(argv);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of the write
  std::signal(SIGPIPE, SIG_DFL);  // `millwright inspect x | head` ends quietly
  CLI::App app("Millwright opens Core ML models, runs them, trains them and writes them back.",
               "millwright");
  app.set_version_flag("--version", MW_VERSION);
  app.require_subcommand(1);
  app.option_defaults()->always_capture_default(false);
  using namespace mw::cli;  // NOLINT(google-build-using-namespace)
  add_inspect(app);
  add_run(app);
  add_tokenize(app);
  add_generate(app);
  add_eval(app);
  add_convert(app);
  add_diff(app);
  add_train(app);
  add_distill(app);
  add_grad(app);
  add_gradcheck(app);
  add_doctor(app);
  try {
    app.parse(argc, argv);
    std::fflush(stdout);
    return std::ferror(stdout) != 0 ? 1 : 0;
  } catch (const CLI::RuntimeError& e) {  // a command whose answer is its exit code
    std::fflush(stdout);
    return e.get_exit_code();
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);
    print_parse_error(app, e);
    return 1;
  } catch (const mw::cli::Interrupted&) {
    std::fflush(stdout);
    fmt::print(stderr, "millwright: interrupted\n");
    return 130;
  } catch (const mw::Error& e) {
    std::fflush(stdout);
    fmt::print(stderr, "millwright: {}\n", e.what());
    return e.exit_code();
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "millwright: out of memory; a smaller batch or sequence needs less\n");
    return 1;
  } catch (const std::exception& e) {
    fmt::print(stderr, "millwright: internal error: {}; report it\n", e.what());
    return 2;
  }
}
