/* What all of the C API stands on: statuses, tensors, texts, handles. millwright.h includes it. */
#ifndef MILLWRIGHT_TYPES_H
#define MILLWRIGHT_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MW_C_API __attribute__((visibility("default")))

typedef enum mw_status {
  MW_OK = 0,
  MW_INVALID_MODEL = 1,
  MW_INVALID_ARGUMENT = 2,
  MW_UNSUPPORTED = 3,
  MW_IO = 4,
  MW_OUT_OF_MEMORY = 5,
  MW_INTERNAL = 6
} mw_status;

typedef enum mw_dtype {
  MW_BOOL = 0,
  MW_FLOAT16 = 1,
  MW_FLOAT32 = 2,
  MW_FLOAT64 = 3,
  MW_INT8 = 4,
  MW_INT16 = 5,
  MW_INT32 = 6,
  MW_INT64 = 7,
  MW_UINT8 = 8,
  MW_UINT16 = 9,
  MW_UINT32 = 10,
  MW_UINT64 = 11,
  MW_STRING = 12 /* data is an array of const char*; outputs only */
} mw_dtype;

/* A dense row-major tensor. As an input, the caller owns all memory. */
typedef struct mw_tensor {
  const char* name;
  mw_dtype dtype;
  size_t rank;
  const int64_t* shape;
  const void* data;
} mw_tensor;

/* UTF-8 with a zero behind its last byte; freed by mw_text_free(). It may hold zeros of its own. */
typedef struct mw_text {
  const char* bytes;
  size_t length; /* without that zero */
} mw_text;

typedef struct mw_model mw_model;
typedef struct mw_settings mw_settings; /* see mw_settings_create */
typedef struct mw_state mw_state;
typedef struct mw_outputs mw_outputs;

MW_C_API void mw_text_free(const mw_text* text);

#ifdef __cplusplus
}
#endif

#endif /* MILLWRIGHT_TYPES_H */
