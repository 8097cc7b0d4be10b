// Cases for crop_resize, resample and affine.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/image/testing.h"

namespace mw::ops {
namespace {

using Inputs = std::vector<CaseInput>;

// 1 to 16 in a 4 x 4 image: at row r and column c it reads 1 + c + 4 r.
Tensor counting_image() {
  std::vector<double> numbers(16);
  std::iota(numbers.begin(), numbers.end(), 1);
  return OpCases::values(numbers, {1, 1, 4, 4});
}

}  // namespace

OP_CASES(crop_resize) {
  const auto x = counting_image();
  const auto boxes = [&](const std::vector<double>& box, const char* mode, int64_t size,
                         Inputs more = {}) {
    const auto count = static_cast<int64_t>(box.size() / 4);
    Inputs inputs{{"x", x},
                  {"boxes", values(box, {count, 4})},
                  {"target_height", integer(size)},
                  {"target_width", integer(size)},
                  {"sampling_mode", text(mode)}};
    inputs.insert(inputs.end(), more.begin(), more.end());
    return inputs;
  };
  const auto kind = Kind::kReduction;
  const CaseInput normalized("normalized_coordinates", flag(true));
  const auto mode = [&](const char* name) { return CaseInput("box_coordinate_mode", text(name)); };
  add("corners aligned", boxes({1, 1, 2, 2}, "ALIGN_CORNERS", 2))
      .expect({values({6, 7, 10, 11}, {1, 1, 2, 2})});
  add("the middle", boxes({1, 1, 2, 2}, "ALIGN_CORNERS", 1)).expect({values({8.5}, {1, 1, 1, 1})});
  add("the start", boxes({1, 1, 2, 2}, "STRICT_ALIGN_CORNERS", 1))
      .expect({values({6}, {1, 1, 1, 1})});
  add("backwards", boxes({2, 2, 1, 1}, "ALIGN_CORNERS", 2))
      .expect({values({11, 10, 7, 6}, {1, 1, 2, 2})});
  add("first elements aligned", boxes({0, 0, 3, 3}, "DEFAULT", 2))
      .expect({values({1, 3, 9, 11}, {1, 1, 2, 2})});
  add("middles of intervals", boxes({0, 0, 2, 2}, "OFFSET_CORNERS", 2))
      .expect({values({3.5, 4.5, 7.5, 8.5}, {1, 1, 2, 2})});
  add("outer edges aligned", boxes({0, 0, 3, 3}, "UNALIGN_CORNERS", 2))
      .expect({values({3.5, 5.5, 11.5, 13.5}, {1, 1, 2, 2})});
  add("an inverted box with outer edges aligned is the whole image",
      boxes({2, 2, 1, 1}, "UNALIGN_CORNERS", 2, {normalized}))
      .expect({values({3.5, 5.5, 11.5, 13.5}, {1, 1, 2, 2})});
  add("beyond the image", boxes({0, 0, 4, 4}, "ALIGN_CORNERS", 2, {{"pad_value", number(10)}}))
      .expect({values({1, 10, 10, 10}, {1, 1, 2, 2})});
  add("normalized", boxes({0, 0, 0.5, 1}, "ALIGN_CORNERS", 2, {normalized}))
      .expect({values({1, 4, 7, 10}, {1, 1, 2, 2})});
  add("scaled", boxes({2, 2, 4, 4}, "ALIGN_CORNERS", 2, {{"spatial_scale", number(0.5)}}))
      .expect({values({6, 7, 10, 11}, {1, 1, 2, 2})});
  add("width first", boxes({0, 1, 1, 3}, "ALIGN_CORNERS", 2, {mode("CORNERS_WIDTH_FIRST")}))
      .expect({values({5, 6, 13, 14}, {1, 1, 2, 2})});
  add("centre and size",
      boxes({2, 1, 2, 2}, "ALIGN_CORNERS", 2, {mode("CENTER_SIZE_HEIGHT_FIRST")}))
      .expect({values({5, 7, 13, 15}, {1, 1, 2, 2})});
  add("centre and size, width first",
      boxes({1, 2, 2, 2}, "ALIGN_CORNERS", 2, {mode("CENTER_SIZE_WIDTH_FIRST")}))
      .expect({values({5, 7, 13, 15}, {1, 1, 2, 2})});
  add("three boxes of one image", boxes({0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 3, 3}, "ALIGN_CORNERS", 1,
                                        {{"box_indices", ints({0, 0, 0})}}))
      .expect({values({3.5, 8.5, 16}, {3, 1, 1, 1})});
  Inputs two = boxes({0, 0, 0, 0, 1, 0, 1, 0}, "ALIGN_CORNERS", 1);
  two[0] = {"x", values({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 2, 1})};
  add("a box per image, all channels", two).expect({values({1, 3, 6, 8}, {2, 2, 1, 1})});
  two.push_back({"box_indices", ints({1, 0}, {2}, DType::kU16)});
  add("indices swap the images", two).expect({values({5, 7, 2, 4}, {2, 2, 1, 1})});
  add("no boxes", boxes({}, "ALIGN_CORNERS", 2)).expect({values({}, {0, 1, 2, 2})});

  const auto roi = [&](const std::vector<double>& numbers, int64_t width) {
    const auto count = static_cast<int64_t>(numbers.size()) / width;
    return Inputs{{"x", x},
                  {"roi", values(numbers, {count, 1, width, 1, 1})},
                  {"target_height", integer(2)},
                  {"target_width", integer(2)},
                  {"sampling_mode", text("ALIGN_CORNERS")}};
  };
  add("roi", roi({1, 1, 2, 2}, 4))
      .at(Opset::kIos15)
      .expect({values({6, 7, 10, 11}, {1, 1, 1, 2, 2})});
  add("roi with the index of an image", roi({0, 1, 1, 2, 2}, 5))
      .at(Opset::kIos16)
      .expect({values({6, 7, 10, 11}, {1, 1, 1, 2, 2})});
  Inputs both = roi({0, 0, 0, 0, 1, 0, 1, 0}, 4);
  both[0] = two[0];
  both[2] = {"target_height", integer(1)};
  both[3] = {"target_width", integer(1)};
  add("each roi of all images", both)
      .at(Opset::kIos15)
      .tolerance(kind)
      .expect({values({1, 3, 5, 7, 2, 4, 6, 8}, {2, 2, 2, 1, 1})});
  both[1] = {"roi", values({1, 0, 0, 0, 0}, {1, 1, 5, 1, 1})};
  add("a roi of the second image", both)
      .at(Opset::kIos15)
      .expect({values({5, 7}, {1, 1, 2, 1, 1})});

  const Tensor images = normal({3, 2, 5, 6});
  const std::vector<DType> wide{DType::kF64, DType::kF32};
  const std::vector<double> three{0.3, 0.7, 3.1, 4.2, 2.9, 3.3, 0.6, 1.1, -0.4, 2.2, 2.7, 6.3};
  for (const char* sampling :
       {"STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "DEFAULT", "OFFSET_CORNERS", "UNALIGN_CORNERS"}) {
    for (const int64_t height : {1, 4}) {
      const std::string title = fmt::format(", {}, height {}", sampling, height);
      const auto some = [&](Inputs more) {
        Inputs inputs{{"x", images},
                      {"target_height", integer(height)},
                      {"target_width", integer(3)},
                      {"sampling_mode", text(sampling)}};
        inputs.insert(inputs.end(), more.begin(), more.end());
        return inputs;
      };
      const CaseInput given("boxes", values(three, {3, 4})), which("box_indices", ints({1, 0, 2}));
      add("boxes anywhere" + title, some({given, which, {"pad_value", number(0.7)}}))
          .tolerance(kind, 4)
          .only(wide);
      add("short indices" + title,
          some({given, {"box_indices", ints({1, 0, 2}, {3}, DType::kU16)}}))
          .tolerance(kind, 4)
          .only(wide);
      add("boxes by their middles" + title,
          some({given, which, mode("CENTER_SIZE_WIDTH_FIRST"), {"spatial_scale", number(0.75)}}))
          .tolerance(kind, 4)
          .only(wide);
      add("parts of the image" + title,
          some({{"boxes", values({0.12, 0.2, 0.77, 0.9, 0.81, 0.3, 0.15, 0.66}, {2, 4})},
                normalized}))
          .tolerance(kind, 4)
          .only(wide);
      add("a box per image, padded" + title, some({given, {"pad_value", number(0.7)}}))
          .tolerance(kind, 4)
          .only(wide);
      add("roi anywhere" + title, some({{"roi", values(three, {3, 1, 4, 1, 1})}}))
          .at(Opset::kIos15)
          .tolerance(kind, 4)
          .only(wide);
      const CaseInput of_images(
          "roi", values({1, -0.4, 0.7, 3.1, 5.3, 0, 2.9, 3.3, 0.6, 1.1}, {2, 1, 5, 1, 1}));
      add("roi of images" + title, some({of_images, {"pad_value", number(0.7)}}))
          .at(Opset::kIos16)
          .tolerance(kind, 4)
          .only(wide);
      add("roi of images, zeros beyond" + title, some({of_images}))
          .at(Opset::kIos15)
          .tolerance(kind, 4)
          .only(wide);
    }
  }
  reference(reference_crop_resize);

  reject("roi shape", {{"x", x}, {"roi", normal({1, 1, 3, 1, 1})}},
         "roi: expected 4 or 5 values per box, got shape [1, 1, 3, 1, 1]")
      .at(Opset::kIos16);
  reject("roi rank", {{"x", x}, {"roi", normal({1, 4})}}, "roi: expected shape [?, 1, ?, 1, 1]")
      .at(Opset::kIos15);
  reject("roi of no image", {{"x", x}, {"roi", values({1, 0, 0, 1, 1}, {1, 1, 5, 1, 1})}},
         "roi: expected image indices in [0, 0], got 1")
      .at(Opset::kIos15);
  reject("roi from iOS17 on", {{"x", x}, {"roi", normal({1, 1, 4, 1, 1})}},
         "boxes: expected a value, got none");
  reject("box of no image", boxes({0, 0, 1, 1}, "DEFAULT", 1, {{"box_indices", ints({10})}}),
         "box_indices: expected image indices in [0, 0], got 10");
  reject("a negative index", boxes({0, 0, 1, 1}, "DEFAULT", 1, {{"box_indices", ints({-1})}}),
         "box_indices: expected image indices in [0, 0], got -1");
  reject("more boxes than images", boxes({0, 0, 1, 1, 0, 0, 1, 1}, "DEFAULT", 1),
         "boxes: expected at most 1 boxes, one per image, got 2; add box_indices");
  reject("number of indices", boxes({0, 0, 1, 1}, "DEFAULT", 1, {{"box_indices", ints({0, 0})}}),
         "box_indices: expected shape [1], got [2]");
  reject("float indices", boxes({0, 0, 1, 1}, "DEFAULT", 1, {{"box_indices", normal({1})}}),
         "box_indices: expected integers, got fp32");
  reject("shape of the boxes", {{"x", x}, {"boxes", normal({1, 5})}},
         "boxes: expected shape [?, 4], got [1, 5]");
  reject("normalized integers",
         {{"x", x}, {"boxes", ints({0, 0, 1, 1}, {1, 4}, DType::kU16)}, normalized},
         "boxes: expected a float dtype, got uint16");
  reject("rank of x", {{"x", normal({1, 4, 4})}, {"boxes", normal({1, 4})}}, "x: expected rank 4");
  reject("an empty image", {{"x", normal({1, 1, 0, 4})}, {"boxes", normal({1, 4})}},
         "x: expected an image, got shape [1, 1, 0, 4]");
  reject("target", boxes({0, 0, 1, 1}, "DEFAULT", 0), "target_height: expected 1 or more, got 0");
  reject("sampling mode", boxes({0, 0, 1, 1}, "X", 1), "sampling_mode: expected 'STRICT_ALIGN");
  reject("coordinate mode", boxes({0, 0, 1, 1}, "DEFAULT", 1, {mode("X")}),
         "box_coordinate_mode: expected 'CORNERS_HEIGHT_FIRST'");
}

OP_CASES(resample) {
  const auto x = values({11, 22, 33, 44}, {1, 1, 2, 2});
  // 2 x 2 points, each column before row.
  const auto points = values({-1, -2, -3.7, -1, 0, 0, 3.5, 1.2}, {1, 2, 2, 2});
  const auto with = [&](Tensor coordinates, const char* sampling, const char* padding, double value,
                        const char* mode, bool align) {
    return Inputs{{"x", x},
                  {"coordinates", std::move(coordinates)},
                  {"sampling_mode", text(sampling)},
                  {"padding_mode", text(padding)},
                  {"padding_value", number(value)},
                  {"coordinates_mode", text(mode)},
                  {"align_corners", flag(align)}};
  };
  const auto two_by_two = [](const std::vector<double>& v) {
    return std::vector<Tensor>{OpCases::values(v, {1, 1, 2, 2})};
  };
  const std::vector<DType> wide{DType::kF64, DType::kF32};
  const auto kind = Kind::kReduction;
  add("bilinear over a constant border",
      with(points, "bilinear", "constant", 6.17, "normalized_minus_one_to_one", true))
      .tolerance(kind)
      .only(wide)
      .expect(two_by_two({8.585, 6.17, 27.5, 6.17}));
  add("nearest in pixels", with(points, "nearest", "border", -1, "unnormalized", false))
      .expect(two_by_two({11, 11, 11, 44}));
  add("bilinear reflection",
      with(points, "bilinear", "reflection", -1, "normalized_zero_to_one", true))
      .tolerance(kind)
      .only(wide)
      .expect(two_by_two({22, 36.3, 11, 34.1}));
  add("nearest symmetric",
      with(points, "nearest", "symmetric", -1, "normalized_zero_to_one", false))
      .only(wide)
      .expect(two_by_two({22, 33, 11, 33}));
  for (const DType dtype : {DType::kI8, DType::kU8, DType::kI32}) {
    add("integer coordinates", with(ints({0, 0, 1, 1, 0, 0, 1, 1}, {1, 2, 2, 2}, dtype), "bilinear",
                                    "constant", 6.17, "normalized_minus_one_to_one", true))
        .expect(two_by_two({27.5, 44, 27.5, 44}));
  }
  add("edges at -1 and 1", with(values({-1, -1, 1, 1, -0.5, 0.5, 0.5, 0}, {1, 2, 2, 2}), "bilinear",
                                "constant", 0, "normalized_minus_one_to_one", false))
      .tolerance(kind)
      .expect(two_by_two({2.75, 11, 33, 33}));
  add("edges at 0 and 1", with(values({0, 0, 1, 1, 0.25, 0.75, 0.75, 0.5}, {1, 2, 2, 2}),
                               "bilinear", "border", 0, "normalized_zero_to_one", false))
      .tolerance(kind)
      .expect(two_by_two({11, 44, 33, 33}));
  add("far away and not a number",
      with(values({1e30, -1e30, INFINITY, 0, NAN, 0, 0, 0}, {1, 2, 2, 2}), "nearest", "border", 0,
           "unnormalized", false))
      .expect(two_by_two({22, 22, 11, 11}));
  for (const char* padding : {"constant", "border", "reflection", "symmetric"}) {
    std::map<std::string, std::vector<double>> expected{{"constant", {0, 0, 0, 1, 2, 3, 0, 0, 0}},
                                                        {"border", {1, 1, 1, 1, 2, 3, 3, 3, 3}},
                                                        {"reflection", {2, 3, 2, 1, 2, 3, 2, 1, 2}},
                                                        {"symmetric", {3, 2, 1, 1, 2, 3, 3, 2, 1}}};
    Tensor columns(DType::kF64, {1, 1, 9, 2});
    for (int64_t i = 0; i < 9; ++i) columns.set_number(2 * i, static_cast<double>(i - 3));
    for (const char* sampling : {"bilinear", "nearest"}) {
      Inputs inputs = with(columns, sampling, padding, 0, "unnormalized", true);
      inputs[0] = {"x", values({1, 2, 3}, {1, 1, 1, 3})};
      add(std::string(padding) + " padding, " + sampling, inputs)
          .expect({values(expected[padding], {1, 1, 1, 9})});
    }
  }
  Inputs several =
      with(values({0, 0, 1, 0}, {2, 1, 1, 2}), "bilinear", "border", 0, "unnormalized", true);
  several[0] = {"x", values({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 1, 2})};
  add("batches and channels", several).expect({values({1, 3, 6, 8}, {2, 2, 1, 1})});
  add("no points", with(values({}, {1, 0, 2, 2}), "bilinear", "border", 0, "unnormalized", true))
      .expect({values({}, {1, 1, 0, 2})});
  const Tensor images = normal({2, 2, 3, 4});
  Inputs whole = with(random_ints({2, 2, 3, 2}, -2, 3), "bilinear", "constant", 0.3,
                      "normalized_minus_one_to_one", false);
  whole[0] = {"x", images};
  add("integer coordinates anywhere", whole).tolerance(kind, 8).only({DType::kF64});
  for (const char* padding : {"constant", "border", "reflection", "symmetric"}) {
    for (const char* sampling : {"bilinear", "nearest"}) {
      for (const bool align : {false, true}) {
        const auto anywhere = [&](double low, double high, const char* mode) {
          Inputs inputs =
              with(uniform({2, 2, 3, 2}, low, high), sampling, padding, 0.3, mode, align);
          inputs[0] = {"x", images};
          add(fmt::format("points anywhere, {}, {}, {}, corners {}", padding, sampling, mode,
                          align),
              inputs)
              .tolerance(kind, 8)
              .only({DType::kF64});
        };
        anywhere(-3, 6, "unnormalized");
        anywhere(-1.8, 1.8, "normalized_minus_one_to_one");
        anywhere(-0.7, 1.7, "normalized_zero_to_one");
      }
    }
  }
  reference(reference_resample);
  reject("rank of x",
         {{"x", normal({1, 2, 2})},
          {"coordinates", points},
          {"sampling_mode", text("nearest")},
          {"padding_mode", text("border")},
          {"padding_value", number(0)},
          {"coordinates_mode", text("unnormalized")},
          {"align_corners", flag(true)}},
         "x: expected rank 4, got shape [1, 2, 2]");
  reject("batch", with(normal({2, 2, 2, 2}), "nearest", "border", 0, "unnormalized", true),
         "coordinates: expected shape [1, ?, ?, 2], got [2, 2, 2, 2]");
  reject("triples", with(normal({1, 2, 2, 3}), "nearest", "border", 0, "unnormalized", true),
         "coordinates: expected shape [1, ?, ?, 2], got [1, 2, 2, 3]");
  reject("sampling", with(points, "cubic", "border", 0, "unnormalized", true),
         "sampling_mode: expected 'bilinear' or 'nearest', got 'cubic'");
  reject("padding", with(points, "nearest", "wrap", 0, "unnormalized", true),
         "padding_mode: expected 'constant', 'border', 'reflection' or 'symmetric', got 'wrap'");
  reject("coordinates", with(points, "nearest", "border", 0, "pixels", true),
         "coordinates_mode: expected 'unnormalized'");
}

OP_CASES(affine) {
  const auto x = values({11, 22, 33, 44}, {1, 1, 2, 2});
  const auto with = [&](Tensor matrix, int64_t height, int64_t width, bool align = true,
                        const char* padding = "constant") {
    return Inputs{{"x", x},
                  {"transform_matrix", std::move(matrix)},
                  {"output_height", integer(height)},
                  {"output_width", integer(width)},
                  {"sampling_mode", text("bilinear")},
                  {"padding_mode", text(padding)},
                  {"padding_value", number(0)},
                  {"coordinates_mode", text("normalized_minus_one_to_one")},
                  {"align_corners", flag(align)}};
  };
  const auto same = values({1, 0, 0, 0, 1, 0}, {1, 6});
  const auto turned = values({-1, -2, -3.7, -1, 3.5, 1.2}, {1, 6});
  const auto kind = Kind::kReduction;
  add("identity", with(same, 2, 2)).expect({x});
  add("identity, finer", with(same, 3, 3))
      .expect({values({11, 16.5, 22, 22, 27.5, 33, 33, 38.5, 44}, {1, 1, 3, 3})});
  add("swapped axes", with(values({0, 1, 0, 1, 0, 0}, {1, 6}), 2, 2))
      .expect({values({11, 33, 22, 44}, {1, 1, 2, 2})});
  add("pixel edges", with(same, 2, 2, false)).expect({x});
  add("turned and moved", with(turned, 3, 3))
      .tolerance(kind)
      .only({DType::kF64, DType::kF32})
      .expect({values({10.7525, 2.5025, 0, 1.98, 0, 0, 0, 0, 0}, {1, 1, 3, 3})});
  add("turned and moved, wider", with(turned, 2, 5))
      .tolerance(kind)
      .only({DType::kF64, DType::kF32})
      .expect({values({10.7525, 5.94, 2.5025, 0.44, 0, 0, 0, 0, 0, 0}, {1, 1, 2, 5})});
  Inputs several = with(values({1, 0, 0, 0, 1, 0, -1, 0, 0, 0, 1, 0}, {2, 6}), 1, 2);
  several[0] = {"x", values({1, 2, 3, 4}, {2, 1, 1, 2})};
  add("a matrix per image", several).expect({values({1, 2, 4, 3}, {2, 1, 1, 2})});
  several[1] = {"transform_matrix", same};
  add("one matrix for all", several).expect({values({1, 2, 3, 4}, {2, 1, 1, 2})});
  for (const bool align : {false, true}) {
    for (const int64_t matrices : {1, 2}) {
      Inputs inputs = with(normal({matrices, 6}, 0.1, 0.6), 3, 4, align);
      inputs[0] = {"x", normal({2, 2, 4, 3})};
      inputs[6] = {"padding_value", number(0.3)};
      add(fmt::format("{} matrices, corners {}", matrices, align), inputs)
          .tolerance(kind, 8)
          .only({DType::kF64});
    }
  }
  reference(reference_affine);
  reject("matrices", with(normal({3, 6}), 1, 1),
         "transform_matrix: expected 1 or 1 matrices, got 3");
  reject("columns", with(normal({1, 5}), 1, 1),
         "transform_matrix: expected shape [?, 6], got [1, 5]");
  reject("height", with(same, 0, 1), "output_height: expected 1 or more, got 0");
  reject("padding", with(same, 1, 1, true, "border"),
         "padding_mode: expected 'constant', got 'border'");
  Inputs nearest = with(same, 1, 1);
  nearest[4] = {"sampling_mode", text("nearest")};
  reject("sampling", nearest, "sampling_mode: expected 'bilinear', got 'nearest'");
  Inputs pixels = with(same, 1, 1);
  pixels[7] = {"coordinates_mode", text("unnormalized")};
  reject("coordinates", pixels,
         "coordinates_mode: expected 'normalized_minus_one_to_one', got 'unnormalized'");
  Inputs flat = with(same, 1, 1);
  flat[0] = {"x", normal({1, 1, 2})};
  reject("rank", flat, "x: expected rank 4, got shape [1, 1, 2]");
}

}  // namespace mw::ops
