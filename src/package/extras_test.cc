// Tests of what stands beside a model: it stays when the model is replaced; links lead nowhere.
#include "package/extras.h"

#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "package/enclosure.h"
#include "package/testing.h"

namespace mw::package {
namespace {

using testing::error_of;
using testing::fixture;
using testing::has;
using testing::slurp;
using testing::spit;
using testing::TempFolder;
using testing::weights_of;
namespace fs = std::filesystem;

Model linear() { return read(fixture("linear.mlpackage")); }

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Everything below a folder: files with their content, links with where they lead.
std::vector<std::string> listing(const fs::path& folder) {
  std::vector<std::string> rows;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    std::string row = entry.path().lexically_relative(folder).string();
    if (entry.is_symlink()) {
      row += " -> " + fs::read_symlink(entry.path()).string();
    } else if (entry.is_regular_file()) {
      row += " = " + slurp(entry.path());
    }
    rows.push_back(row);
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

TEST(Extras, what_is_not_the_model_stays_when_the_model_is_replaced) {
  for (const char* name : {"m.mlpackage", "m.mlmodelc"}) {
    const TempFolder folder;
    const fs::path path = folder / name;
    write(linear(), path);
    const std::vector<std::string> model_alone = listing(path);
    spit(path / "notes/deep/n", "precious");
    spit(path / ".hidden", "x");
    spit(path / "tokenizer.json", "{}");
    spit(weights_of(path).parent_path() / "readme.txt", "about the weights");
    fs::create_directories(path / "empty");
    fs::create_symlink("/etc/passwd", path / "link");
    fs::create_symlink("nowhere", path / "notes/dangling");
    write(linear(), path / "inner.mlpackage");
    fs::permissions(path / "notes/deep", fs::perms::owner_read | fs::perms::owner_exec);
    const std::vector<std::string> before = listing(path);
    ASSERT_GT(before.size(), model_alone.size() + 10);

    write(linear(), path);  // another model
    EXPECT_EQ(listing(path), before) << name;
    write(read(path), path);  // itself
    EXPECT_EQ(listing(path), before) << name;
    EXPECT_EQ(fs::status(path / "notes/deep").permissions(),
              fs::perms::owner_read | fs::perms::owner_exec);
    EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{name}));
    fs::permissions(path / "notes/deep", fs::perms::owner_all);
  }
}

TEST(Extras, no_file_of_the_old_model_stays) {
  const TempFolder folder;
  write(read(fixture("palette.mlpackage")), folder / "m.mlpackage");
  // Another name for the weights, and a compiled model where a package is expected.
  fs::copy_file(weights_of(folder / "m.mlpackage"),
                weights_of(folder / "m.mlpackage").parent_path() / "0-weight.bin");
  write(linear(), folder / "m.mlmodelc");
  fs::rename(folder / "m.mlmodelc", folder / "compiled.mlpackage");
  for (const char* name : {"m.mlpackage", "compiled.mlpackage"}) {
    write(linear(), folder / name);
    write(linear(), folder / "fresh.mlpackage");
    EXPECT_EQ(listing(folder / name), listing(folder / "fresh.mlpackage")) << name;
  }
}

TEST(Extras, a_file_of_the_target_is_never_exchanged_for_one_of_the_source) {
  const TempFolder folder;
  write(linear(), folder / "source.mlpackage");
  write(linear(), folder / "target.mlpackage");
  spit(folder / "source.mlpackage/tokenizer.json", "new");
  spit(folder / "target.mlpackage/tokenizer.json", "old");
  const Model model = read(folder / "source.mlpackage");
  const auto before = listing(folder.path());
  for (const auto& body :
       {std::function<void()>([&] { write(model, folder / "target.mlpackage"); }),
        std::function<void()>(
            [&] { expect_writable(folder / "source.mlpackage", folder / "target.mlpackage"); })}) {
    const std::string error = error_of(body);
    EXPECT_TRUE(has(error,
                    "target.mlpackage/tokenizer.json: expected the content of the file that "
                    "comes with the model"))
        << error;
  }
  EXPECT_EQ(listing(folder.path()), before);
  spit(folder / "target.mlpackage/tokenizer.json", "new");
  EXPECT_NO_THROW(write(model, folder / "target.mlpackage"));
  fs::remove(folder / "source.mlpackage/tokenizer.json");
  write(model, folder / "target.mlpackage");
  EXPECT_EQ(slurp(folder / "target.mlpackage/tokenizer.json"), "new") << "the target keeps its own";
}

TEST(Extras, a_folder_is_a_model_only_if_it_would_be_read_as_one) {
  const TempFolder folder;
  spit(folder / "a.mlpackage/metadata.json", "{}");
  spit(folder / "b.mlpackage/Manifest.json", "{\"name\": \"a web page\"}");
  spit(folder / "c.mlpackage/Manifest.json/model", "x");
  spit(folder / "d.mlmodelc/weights/weight.bin", "x");
  spit(folder / "e.mlmodelc/.hidden", "x");
  for (const std::string& name : names_in(folder.path())) {
    spit(folder / name / "thesis.txt", "precious");
  }
  const auto before = listing(folder.path());
  for (const std::string& name : names_in(folder.path())) {
    EXPECT_TRUE(has(error_of([&] { write(linear(), folder / name); }),
                    "expected a Core ML model to replace, got a folder of other files"))
        << name;
  }
  EXPECT_EQ(listing(folder.path()), before);
}

TEST(Extras, links_that_lead_out_of_the_model_are_not_copied_and_that_is_said) {
  const TempFolder folder;
  spit(folder / "secret.txt", "secret");
  const fs::path path = folder / "a.mlpackage";
  write(linear(), path);
  spit(path / "vocabulary.txt", "words");
  fs::create_symlink("vocabulary.txt", path / "vocab.txt");
  fs::create_symlink(folder / "secret.txt", path / "notes.txt");
  fs::create_symlink("../secret.txt", path / "more.txt");
  fs::create_symlink(folder.path(), path / "all");
  const auto notes = write(read(path), folder / "b.mlpackage");
  ASSERT_EQ(notes.size(), 2U);
  EXPECT_EQ(notes[0], (path / "more.txt").string() +
                          ": not copied, since this symbolic link leads out of the model");
  EXPECT_EQ(names_in(folder / "b.mlpackage"),
            (std::vector<std::string>{"Data", "Manifest.json", "vocab.txt", "vocabulary.txt"}));
  EXPECT_EQ(slurp(folder / "b.mlpackage/vocab.txt"), "words");
}

TEST(Extras, a_model_whose_files_are_links_out_of_it_is_refused_with_a_remedy) {
  const std::pair<const char*, std::vector<std::string>> rows[] = {
      {"m.mlpackage",
       {"Manifest.json", "Data", "Data/com.apple.CoreML", "Data/com.apple.CoreML/model.mlmodel",
        "Data/com.apple.CoreML/weights", "Data/com.apple.CoreML/weights/weight.bin"}},
      {"m.mlmodelc",
       {"model.mil", "coremldata.bin", "metadata.json", "weights", "weights/weight.bin"}}};
  for (const auto& [name, parts] : rows) {
    for (const std::string& part : parts) {
      const TempFolder folder;
      const fs::path path = folder / name;
      write(linear(), path);
      fs::create_directories(folder / "elsewhere");
      fs::rename(path / part, folder / "elsewhere/it");
      fs::create_symlink(folder / "elsewhere/it", path / part);
      ErrorCode code{};
      const std::string error = error_of([&, &at = path] { (void)read(at); }, &code);
      EXPECT_TRUE(has(error, "a symbolic link leads out of the model")) << part << ": " << error;
      EXPECT_TRUE(has(error, "`cp -rL` copies a model")) << error;
      EXPECT_EQ(code, ErrorCode::kInvalidModel);
      fs::create_symlink(path, folder / ("link-to-" + path.filename().string()));
      fs::remove(path / part);
      fs::rename(folder / "elsewhere/it", path / part);
      EXPECT_NO_THROW((void)read(folder / ("link-to-" + path.filename().string())));
    }
  }
}

TEST(Extras, links_inside_the_model_and_a_snapshot_of_a_cache_are_followed) {
  const TempFolder folder;
  const fs::path path = folder / "cache/models--a--b/snapshots/0123/m.mlpackage";
  write(linear(), path);
  const fs::path weights = weights_of(path);
  fs::rename(weights, weights.parent_path() / "other.bin");
  fs::create_symlink("other.bin", weights);
  EXPECT_NO_THROW((void)read(path)) << "inside";
  fs::remove(weights);
  fs::rename(weights.parent_path() / "other.bin", weights);
  int count = 0;
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  for (const fs::path& file : files) {
    const fs::path blob = folder / ("cache/models--a--b/blobs/" + std::to_string(count++));
    fs::create_directories(blob.parent_path());
    fs::rename(file, blob);
    fs::create_symlink(blob.lexically_relative(file.parent_path()), file);
  }
  EXPECT_EQ(testing::difference(read(path), linear()), "");
  const fs::path other = folder / "cache/models--a--c/blobs/weight";
  fs::create_directories(other.parent_path());
  fs::rename(fs::canonical(weights), other);
  fs::remove(weights);
  fs::create_symlink(other, weights);
  EXPECT_TRUE(has(error_of([&] { (void)read(path); }), "leads out of the model"))
      << "another repository's";
}

TEST(Extras, a_model_that_is_replaced_while_it_is_read_is_the_old_or_the_new_one) {
  const TempFolder folder;
  const fs::path path = folder / "m.mlpackage";
  const Model models[] = {linear(), read(fixture("palette.mlpackage"))};
  write(models[0], path);
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (int i = 1; !done; ++i) write(models[i % 2], path);
  });
  int seen[2] = {0, 0};
  for (int i = 0; i < 60; ++i) {
    const Model got = read(path);
    const int which = testing::difference(got, models[0]).empty() ? 0 : 1;
    EXPECT_EQ(testing::difference(got, models[which]), "");
    ++seen[which];
  }
  done = true;
  writer.join();
  EXPECT_GT(seen[0] + seen[1], 0);
}

}  // namespace
}  // namespace mw::package
