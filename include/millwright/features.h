/* What a model says of itself: inputs, outputs, states, functions, metadata. millwright.h includes
 * it. What is returned is valid as long as the model. */
#ifndef MILLWRIGHT_FEATURES_H
#define MILLWRIGHT_FEATURES_H

#include "millwright/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Extents from `least` to `most`; `most` below 0: unbounded. */
typedef struct mw_range {
  int64_t least, most;
} mw_range;

typedef struct mw_shape {
  size_t rank;
  const int64_t* extents;
} mw_shape;

/* One input, output or state as the model declares it. */
typedef struct mw_feature {
  const char* name;
  const char* kind;  /* MultiArray, Image, String, Int64, Double, Dictionary, Sequence or State */
  const char* dtype; /* "fp16", "int32", "string", ... */
  size_t rank;
  const int64_t* shape;   /* the default or the fixed one; -1 where the file does not state it */
  const mw_range* ranges; /* one per axis where the shape is flexible */
  size_t range_count;
  const mw_shape* enumerated; /* the shapes that are allowed, where they are listed */
  size_t enumerated_count;
  int optional;
  const char* description; /* the author's text, or empty */
} mw_feature;

/* NULL when out of range, as below. */
MW_C_API const mw_feature* mw_model_input_at(const mw_model* model, size_t index);
MW_C_API const mw_feature* mw_model_output_at(const mw_model* model, size_t index);
MW_C_API size_t mw_model_state_count(const mw_model* model);
MW_C_API const mw_feature* mw_model_state_at(const mw_model* model, size_t index);

/* The function that was opened, and all that the package has. */
MW_C_API const char* mw_model_function(const mw_model* model);
MW_C_API size_t mw_model_function_count(const mw_model* model);
MW_C_API const char* mw_model_function_at(const mw_model* model, size_t index);

/* What the author wrote into the file: an entry of his, or shortDescription, author, license,
 * version. */
typedef struct mw_metadata {
  const char* key;
  const char* value;
} mw_metadata;
MW_C_API size_t mw_model_metadata_count(const mw_model* model);
MW_C_API const mw_metadata* mw_model_metadata_at(const mw_model* model, size_t index);

#ifdef __cplusplus
}
#endif

#endif /* MILLWRIGHT_FEATURES_H */
