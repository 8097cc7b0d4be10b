// Models in parts that are no model, and places where none is written.
#include "package/link.h"
#include "parts_testing.h"
#include "process_testing.h"

namespace mw {
namespace {

namespace fs = std::filesystem;

using testing::has;
using testing::Parts;
using testing::SmallParts;

TEST_F(Parts, that_do_not_fit_are_refused) {
  const auto with_chunk = [&](const std::string& name,
                              const std::function<void(SmallParts&)>& change) {
    SmallParts m;
    m.other_chunk[2] = change;
    return refusal(folder(m, name));
  };
  EXPECT_TRUE(has(with_chunk("width", [](SmallParts& m) { m.width = 6; }),
                  "part chunk_02 (small_FFN_PF_chunk_02of02.mlpackage): function 'infer': input "
                  "'hidden_states': expected tensor<fp16, [1, 1, 4]>, as 'output_hidden_states' of "
                  "chunk_01 (small_FFN_PF_chunk_01of02.mlpackage) is, got tensor<fp16, [1, 1, 6]>; "
                  "take all parts from one conversion"));
  EXPECT_TRUE(has(with_chunk("context", [](SmallParts& m) { m.context = 32; }),
                  "input 'causal_mask': expected tensor<fp16, [1, 1, 1, 24]>, as 'causal_mask' of "
                  "chunk_01"));
  EXPECT_TRUE(has(with_chunk("block", [](SmallParts& m) { m.block = 8; }),
                  "function 'prefill': input 'hidden_states': expected tensor<fp16, [1, 4, 4]>"));
  EXPECT_TRUE(has(with_chunk("dtype", [](SmallParts& m) { m.dtype = DType::kF32; }),
                  "input 'hidden_states': expected tensor<fp16"));
  EXPECT_TRUE(has(with_chunk("cache", [](SmallParts& m) { m.chunks = 3; }),
                  "state 'model_model_kv_cache_0': expected state<tensor<fp16, [2, 24, 4]>>, as "
                  "'model_model_kv_cache_0' of chunk_01"));
  EXPECT_TRUE(has(with_chunk("functions", [](SmallParts& m) { m.rotates = true; }),
                  "expected the functions infer, prefill, as chunk_01"));
  EXPECT_TRUE(has(with_chunk("opset", [](SmallParts& m) { m.opset = ir::Opset::kIos26; }),
                  "expected ios18 as the parts before it are for, got ios26"));
}

TEST_F(Parts, that_are_missing_or_there_twice_are_refused) {
  const auto without = [&](const std::string& file, bool with_meta, const std::string& name) {
    const fs::path path = folder({.with_meta = with_meta}, name);
    fs::remove_all(path / file);
    return refusal(path);
  };
  const std::string chunk = "small_FFN_PF_chunk_02of02.mlpackage";
  EXPECT_TRUE(has(without(chunk, true, "a"),
                  "meta.yaml: ffn: chunk 2 of 2 (num_chunks): expected the part "
                  "small_FFN_PF_chunk_02of02.mlmodelc (or small_FFN_PF_chunk_02of02.mlpackage) in "
                  "the folder, found none; was it copied whole?"));
  EXPECT_TRUE(has(without(chunk, false, "b"), "{prefix}_FFN_PF_chunk_02of02"));
  EXPECT_TRUE(has(without("small_lm_head.mlpackage", true, "c"), "meta.yaml: lm_head: expected"));
  EXPECT_TRUE(has(without("small_embeddings.mlpackage", false, "d"), "{prefix}_embeddings"));
  const fs::path twice = folder({.with_meta = false}, "twice");
  testing::parts::write_chunk({}, twice / "small_FFN_PF_lut4_chunk_01of02.mlpackage", 1);
  EXPECT_TRUE(has(refusal(twice), "expected one part {prefix}_FFN_PF_chunk_01of02, got"));
  const fs::path other = folder({.with_meta = false}, "other");
  testing::parts::write_chunk({}, other / "small_FFN_PF_chunk_03of03.mlpackage", 1);
  EXPECT_TRUE(has(refusal(other), "expected chunks of one model, got chunks of 2 and of 3"));
}

TEST_F(Parts, whose_description_lies_are_refused) {
  const fs::path path = folder();
  const std::string meta = testing::meta_yaml({});
  const auto refused = [&](const std::string& what, const std::string& by) {
    std::string text = meta;
    const size_t at = text.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    testing::parts::put(path / "meta.yaml", text.replace(at, what.size(), by));
    return refusal(path);
  };
  const std::pair<std::pair<const char*, const char*>, const char*> cases[] = {
      {{"num_chunks: 2", "num_chunks: 3"}, "small_FFN_PF_chunk_01of03"},
      {{"num_chunks: 2", "num_chunks: 1"}, "small_FFN_PF_chunk_01of01"},
      {{"num_chunks: 2", "num_chunks: two"},
       "num_chunks: expected a whole number above 0, got 'two'"},
      {{"num_chunks: 2", "num_chunks: 100"}, "num_chunks: expected at most 99, got 100"},
      {{"num_chunks: 2", "num_chunks: [2]"}, "num_chunks: expected one value"},
      {{"num_chunks: 2", "other: 2"}, "num_chunks: expected a value, got none"},
      {{"context_length: 24", "context_length: 32"},
       "meta.yaml: context_length is 32: expected function 'infer', input 'causal_mask' to agree, "
       "got tensor<fp16, [1, 1, 1, 24]>"},
      {{"batch_size: 4", "batch_size: 8"}, "batch_size is 8: expected function 'prefill', input"},
      {{"split_lm_head: 2", "split_lm_head: 8"}, "split_lm_head is 8"},
      {{"small_lm_head.mlmodelc", "../model/small_lm_head.mlmodelc"}, "a path leaves the model"},
      {{"small_lm_head.mlmodelc", "small_embeddings.mlpackage"}, "expected each part once"},
      {{"model_info:", "info:"}, "expected model_info with parameters"},
      {{"model_info:", "model_info: {"}, "expected YAML"},
  };
  for (const auto& [change, message] : cases) {
    const std::string text = refused(change.first, change.second);
    EXPECT_TRUE(has(text, message)) << text;
  }
  EXPECT_TRUE(has(refused("batch_size: 4", "vocab_size: 7"), "vocab_size is 7"));
  testing::parts::put(path / "meta.yaml", std::string(100000, '['));
  EXPECT_TRUE(has(refusal(path), "meta.yaml:1: expected YAML"));
  testing::parts::put(path / "meta.yaml", std::string((1 << 20) + 1, ' '));
  EXPECT_TRUE(has(refusal(path), "expected at most 1048576 bytes"));
}

TEST_F(Parts, outside_the_folder_are_not_opened) {
  const fs::path path = folder();
  fs::rename(path / "small_lm_head.mlpackage", scratch("small_lm_head.mlpackage"));
  fs::create_directory_symlink(scratch("small_lm_head.mlpackage"),
                               path / "small_lm_head.mlpackage");
  EXPECT_FALSE(refusal(path).empty());
}

TEST_F(Parts, that_were_renamed_are_not_written_in_parts) {
  package::Model model = package::read(folder());
  for (const auto& function : model.program->functions) {
    function->find_argument("position_ids")->name = "places";
  }
  EXPECT_TRUE(has(testing::error_of([&] { (void)package::write(model, scratch("out")); },
                                    ErrorCode::kInvalidArgument),
                  "function 'infer': input 'position_ids': expected it under this name"));
  EXPECT_FALSE(fs::exists(scratch("out")));
}

TEST_F(Parts, replace_nothing_but_parts) {
  const package::Model model = package::read(folder());
  fs::create_directories(scratch("other"));
  testing::parts::put(scratch("other/letter.txt"), "dear");
  EXPECT_TRUE(
      has(testing::error_of([&] { (void)package::write(model, scratch("other")); }, ErrorCode::kIo),
          "expected a model in parts to replace, got a folder of other files"));
  // What somebody put beside the parts, or into one, stays.
  (void)package::write(model, scratch("out"));
  testing::parts::put(scratch("out/letter.txt"), "dear");
  testing::parts::put(scratch("out/small_lm_head.mlpackage/note.txt"), "mine");
  (void)package::write(model, scratch("out"));
  EXPECT_EQ(testing::read_file(scratch("out/letter.txt")), "dear");
  EXPECT_EQ(testing::read_file(scratch("out/small_lm_head.mlpackage/note.txt")), "mine");
  expect_same_as_by_hand(scratch("out"), scratch("out"));
}

}  // namespace
}  // namespace mw
