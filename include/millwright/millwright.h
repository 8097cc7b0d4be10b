/* Millwright's C API: load a Core ML model, ask what it takes, predict, train.
 *
 *   mw_model* model = NULL;
 *   if (mw_model_load("model.mlpackage", NULL, &model) != MW_OK) puts(mw_last_error());
 *   int64_t shape[2] = {1, 4};
 *   int32_t ids[4] = {1, 2, 3, 4};
 *   mw_tensor input = {"input_ids", MW_INT32, 2, shape, ids};
 *   mw_outputs* outputs = NULL;
 *   mw_model_predict(model, NULL, &input, 1, &outputs);
 *   const mw_tensor* logits = mw_outputs_find(outputs, "logits");
 *   mw_outputs_free(outputs);
 *   mw_model_free(model);
 *
 * Every function returns a status; on failure mw_last_error() has one sentence about it (of the
 * calling thread, until its next failing call). Handles are freed by the matching _free function,
 * which accepts NULL. A model and a tokenizer may be used by several threads at once; any other
 * handle by one at a time, whichever thread made it.
 */
#ifndef MILLWRIGHT_H
#define MILLWRIGHT_H

#include "millwright/features.h"
#include "millwright/tokenizer.h"
#include "millwright/types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mw_compute {
  MW_COMPUTE_FP32 = 0,
  MW_COMPUTE_FP64 = 1,
  MW_COMPUTE_FP16 = 2,
  MW_COMPUTE_BF16 = 3
} mw_compute;

typedef struct mw_load_options {
  const char* function; /* NULL: the default function */
  int threads;          /* 0: all cores */
  mw_compute compute;
  const char* adapter; /* what mw_student_save_adapter wrote; NULL: none */
  const char* device;  /* what computes; NULL: "cpu" */
} mw_load_options; /* of what docs/settings.md lists, the usual; mw_model_load_with() takes all */

MW_C_API const char* mw_last_error(void);
/* The setting that the last error is about, or whose change would help, by its name in
 * docs/settings.md ("seq_len"); empty: none. */
MW_C_API const char* mw_last_error_setting(void);
MW_C_API const char* mw_version(void);

MW_C_API mw_status mw_model_load(const char* path, const mw_load_options* options,
                                 mw_model** model);
MW_C_API mw_status mw_model_load_with(const char* path, const mw_settings* settings,
                                      mw_model** model);
MW_C_API void mw_model_free(mw_model* model);

MW_C_API size_t mw_model_input_count(const mw_model* model);
MW_C_API size_t mw_model_output_count(const mw_model* model);
/* Name of input or output `index`, valid as long as the model; NULL when out of range. */
MW_C_API const char* mw_model_input_name(const mw_model* model, size_t index);
MW_C_API const char* mw_model_output_name(const mw_model* model, size_t index);

MW_C_API mw_status mw_model_make_state(const mw_model* model, mw_state** state);
/* `value` gets one tensor, named like the state: a copy. */
MW_C_API mw_status mw_state_get(const mw_state* state, const char* name, mw_outputs** value);
/* By the tensor's name; copied. Dtype and shape must be the state's. */
MW_C_API mw_status mw_state_set(mw_state* state, const mw_tensor* value);
MW_C_API void mw_state_reset(mw_state* state);
MW_C_API void mw_state_free(mw_state* state);

/* `state` may be NULL for a model without states. */
MW_C_API mw_status mw_model_predict(const mw_model* model, mw_state* state, const mw_tensor* inputs,
                                    size_t input_count, mw_outputs** outputs);
/* Of a language model: token ids, [time] or [batch, time], to the one tensor `logits`, fp32
 * [batch, time, vocabulary], or [batch, 1, vocabulary] where the model gives those of the last
 * token only. Masks, positions and caches are made. The name of `ids` does not count. */
MW_C_API mw_status mw_model_forward(const mw_model* model, const mw_tensor* ids,
                                    mw_outputs** logits);
MW_C_API size_t mw_outputs_count(const mw_outputs* outputs);
/* Valid until mw_outputs_free; NULL when out of range or not there. */
MW_C_API const mw_tensor* mw_outputs_at(const mw_outputs* outputs, size_t index);
MW_C_API const mw_tensor* mw_outputs_find(const mw_outputs* outputs, const char* name);
MW_C_API void mw_outputs_free(mw_outputs* outputs);

/* Generation: a language model continues a prompt, token by token.
 *
 *   const mw_generation* said = NULL;
 *   if (mw_generate(model, "To be, or not", NULL, NULL, NULL, &said) == MW_OK) puts(said->text);
 *   mw_generation_free(said);
 *
 * Settings (max_tokens, temperature, stop, ...) are set by name, see mw_settings_create; NULL: the
 * usual ones.
 */
typedef struct mw_generation {
  const char* text; /* the continuation alone, in UTF-8 */
  size_t text_size;
  const int32_t* ids; /* that were chosen, but for the one that ended it */
  size_t id_count;
  const char* end;    /* "max_tokens", "end_of_text", "stop", "stop_ids", "on_text" or "full" */
  const char* reason; /* the same in words */
  int64_t prompt_tokens;
  int64_t reused_tokens;      /* of them, that were in the model's states already */
  double first_token_seconds; /* from the call to the first token */
  double seconds;             /* from there to the end */
  double tokens_per_second;
  const char* const* notes; /* sentences on the prompt cache */
  size_t note_count;
  void* held;
} mw_generation;

/* Told each piece of text as it comes, whole characters, in the thread of the call. Anything but 0
 * ends the text there. */
typedef int (*mw_tell_text)(const char* piece, size_t size, void* user);

/* `tell` may be NULL, and so may `generation`, which is freed by mw_generation_free(). */
MW_C_API mw_status mw_generate(const mw_model* model, const char* prompt,
                               const mw_settings* settings, mw_tell_text tell, void* user,
                               const mw_generation** generation);
/* From token ids, [time] or [1, time]; their name does not count. */
MW_C_API mw_status mw_generate_from_ids(const mw_model* model, const mw_tensor* ids,
                                        const mw_settings* settings, mw_tell_text tell, void* user,
                                        const mw_generation** generation);
MW_C_API void mw_generation_free(const mw_generation* generation);

/* Training: a student learns from labels, from a teacher, or from both.
 *
 *   mw_student* student = NULL;
 *   mw_student_create(model, NULL, &student);
 *   mw_tensor tensors[2] = {{"input_ids", MW_INT32, 2, shape, ids},
 *                           {"labels", MW_INT32, 2, shape, labels}};
 *   mw_batch batch = {tensors, 2};
 *   mw_step_result result;
 *   mw_student_step(student, &batch, 1, &result);
 *   mw_student_save(student, "trained.mlpackage");
 *   mw_student_free(student);
 */
typedef enum mw_optimizer { MW_ADAMW = 0, MW_ADAM = 1, MW_SGD = 2 } mw_optimizer;

/* How the learning rate goes on after the warm-up. */
typedef enum mw_schedule {
  MW_SCHEDULE_CONSTANT = 0,
  MW_SCHEDULE_LINEAR = 1,
  MW_SCHEDULE_COSINE = 2
} mw_schedule;

typedef enum mw_loss {
  MW_LOSS_CROSS_ENTROPY = 0, /* of logits (or what a softmax is of) and integer labels; label -100
                                is ignored */
  MW_LOSS_MEAN_SQUARED_ERROR = 1,
  MW_LOSS_OUTPUT = 2,              /* the target output is one number and is the loss itself */
  MW_LOSS_BINARY_CROSS_ENTROPY = 3 /* of logits (or what a sigmoid is of) and labels from 0 to 1 */
} mw_loss;

/* Of mw_student_options.class_axis: the shape of the labels tells. */
#define MW_CLASS_AXIS_FROM_LABELS INT64_MAX

/* Settings for the parameters whose names match a glob; the last match counts. */
typedef struct mw_parameter_group {
  const char* glob;
  float learning_rate_factor;
  float weight_decay; /* below 0: the optimiser's */
} mw_parameter_group;

/* Filled in by mw_student_options_init; then change what is to differ. */
typedef struct mw_student_options {
  size_t size; /* of this struct */
  mw_optimizer optimizer;
  float learning_rate;
  float weight_decay;
  float beta1, beta2, epsilon; /* MW_ADAMW, MW_ADAM */
  float momentum;              /* MW_SGD */
  int nesterov;                /* MW_SGD */
  mw_schedule schedule;
  int64_t warmup_steps;
  int64_t total_steps;
  float final_factor;           /* of the learning rate, from step total_steps on */
  const char* const* trainable; /* globs over parameter names; NULL: the default set */
  size_t trainable_count;
  const mw_parameter_group* groups;
  size_t group_count;
  mw_loss loss;
  const char* target;            /* NULL: the output called logits, or the only one of floats */
  float label_smoothing;         /* cross entropy only */
  float clip_norm;               /* of all gradients together; 0: no clipping */
  const char* const* wrt_inputs; /* inputs that mw_student_backward differentiates by, too */
  size_t wrt_input_count;
  uint64_t memory;   /* bytes that a step may take; what does not fit is computed again; 0: any */
  int64_t lora_rank; /* above 0: adapters are trained, the weights stay frozen */
  float lora_alpha;  /* 0: twice the rank */
  const char* const* lora_targets; /* globs over parameter names; NULL: all that can be adapted */
  size_t lora_target_count;
  uint64_t lora_seed;
  int64_t class_axis;      /* of the output, that counts the classes; below 0: from the end */
  const float* pos_weight; /* binary cross entropy: what a label 1 counts, one or one per class */
  size_t pos_weight_count;
} mw_student_options;

typedef struct mw_distill_options {
  float temperature;
  float alpha;        /* weight of the teacher; 1 - alpha is that of the labels */
  const char* target; /* the teacher's output; NULL: as above */
  const char* cache;  /* a file that keeps the teacher's predictions; NULL: none */
  int64_t top_k;      /* classes of a prediction that it keeps, the likeliest; 0: all */
} mw_distill_options;

/* The model's inputs by name, and `labels`. With input_ids alone, a mask or positions are made. */
typedef struct mw_batch {
  const mw_tensor* tensors;
  size_t count;
} mw_batch;

typedef struct mw_step_result {
  int64_t step;     /* 1 for the first */
  int64_t tokens;   /* labels that count */
  double loss;      /* mean over them */
  double grad_norm; /* of all gradients together, before clipping */
  float learning_rate;
} mw_step_result;

typedef struct mw_parameter {
  const char* name;
  size_t rank;
  const int64_t* shape;
  const char* stored; /* dtype in the package: "fp16", "fp32", ... */
  int trained;
  const char* reason; /* why it is in or out */
} mw_parameter;

typedef struct mw_student mw_student;

/* The optimiser and its usual settings; everything else as in training.hpp. */
MW_C_API mw_status mw_student_options_init(mw_student_options* options, mw_optimizer optimizer);

/* `options` may be NULL: AdamW. The student computes in the compute mode and with the threads of
 * `model`, which stays as it is and may be freed first. */
MW_C_API mw_status mw_student_create(const mw_model* model, const mw_student_options* options,
                                     mw_student** student);
MW_C_API void mw_student_free(mw_student* student);

/* Settings by name, as docs/settings.md lists them: those of opening a model, which
 * mw_model_load_with() asks for, those of generation, which mw_generate() asks for, all that
 * mw_student_options has fields for, those of every optimiser, and those of a run, which mw_train()
 * alone asks for. A value is a text
 * ("cosine", "0.9", "true") or a number; a list is set as a whole. The optimiser comes before the
 * settings that it brings. What several have, as `seed` and `temperature`, is set for all of them.
 *
 *   mw_settings* settings = NULL;
 *   mw_settings_create(&settings);
 *   mw_settings_set(settings, "optimizer", "adam");
 *   mw_settings_set_number(settings, "beta1", 0.95);
 *   mw_student_create_with(model, settings, &student);
 *   mw_settings_free(settings);
 */
MW_C_API mw_status mw_settings_create(mw_settings** settings);
MW_C_API void mw_settings_free(mw_settings* settings);
MW_C_API mw_status mw_settings_set(mw_settings* settings, const char* name, const char* value);
MW_C_API mw_status mw_settings_set_number(mw_settings* settings, const char* name, double value);
MW_C_API mw_status mw_settings_set_list(mw_settings* settings, const char* name,
                                        const char* const* values, size_t count);
MW_C_API mw_status mw_student_create_with(const mw_model* model, const mw_settings* settings,
                                          mw_student** student);

/* Before the first step. `options` may be NULL: temperature 2, alpha 0.5. */
MW_C_API mw_status mw_student_set_teacher(mw_student* student, const mw_model* teacher,
                                          const mw_distill_options* options);

/* Forward, backward and one update; several batches are one step, weighted by their labels.
 * `result` may be NULL here and below. */
MW_C_API mw_status mw_student_step(mw_student* student, const mw_batch* batches, size_t batch_count,
                                   mw_step_result* result);
/* Gradients of the mean loss by parameter name, as "input.NAME" by input; nothing is updated. */
MW_C_API mw_status mw_student_backward(mw_student* student, const mw_batch* batch,
                                       mw_outputs** gradients, mw_step_result* result);
/* The loss of a batch, without the teacher. */
MW_C_API mw_status mw_student_evaluate(mw_student* student, const mw_batch* batch,
                                       mw_step_result* result);
/* What is minimised and over what, in one line; the batch tells the shapes. `text` is valid until
 * the next call or mw_student_free. */
MW_C_API mw_status mw_student_objective(mw_student* student, const mw_batch* batch,
                                        const char** text);
/* The classes of a classifier, in the order of the indices that labels are; 0: none. Where they are
 * integers, labels are these and no indices. */
MW_C_API size_t mw_student_class_count(const mw_student* student);
MW_C_API const char* mw_student_class_at(const mw_student* student, size_t index);
/* What the largest step so far takes, counted as mw_student_options.memory; 0 before the first. */
MW_C_API uint64_t mw_student_step_bytes(const mw_student* student);
/* Outputs with the weights as they are. */
MW_C_API mw_status mw_student_predict(mw_student* student, const mw_tensor* inputs,
                                      size_t input_count, mw_outputs** outputs);

MW_C_API size_t mw_student_parameter_count(const mw_student* student);
/* Valid as long as the student; NULL when out of range. */
MW_C_API const mw_parameter* mw_student_parameter_at(const mw_student* student, size_t index);
/* `value` gets one tensor, named like the parameter, in fp32. */
MW_C_API mw_status mw_student_get_parameter(const mw_student* student, const char* name,
                                            mw_outputs** value);
/* By the tensor's name; copied. */
MW_C_API mw_status mw_student_set_parameter(mw_student* student, const mw_tensor* value);
/* The trained parameters by name, in fp32, as a .safetensors file; and back again. */
MW_C_API mw_status mw_student_save_weights(const mw_student* student, const char* path);
MW_C_API mw_status mw_student_load_weights(mw_student* student, const char* path);
/* Everything that training changes (weights, moments, step), by name; and back again. */
MW_C_API mw_status mw_student_state(const mw_student* student, mw_outputs** state);
MW_C_API mw_status mw_student_load_state(mw_student* student, const mw_tensor* tensors,
                                         size_t count);
/* The same as a .safetensors file. */
MW_C_API mw_status mw_student_save_checkpoint(const mw_student* student, const char* path);
MW_C_API mw_status mw_student_load_checkpoint(mw_student* student, const char* path);

/* The adapters alone: a .safetensors file, or, by a name without an extension, a folder as Hugging
 * Face PEFT has it; and back again. `module_names`, a .safetensors file of the model that the
 * package was converted from, tells such a folder how the modules are called; it may be NULL. */
MW_C_API mw_status mw_student_save_adapter(const mw_student* student, const char* path);
MW_C_API mw_status mw_student_save_adapter_named(const mw_student* student, const char* path,
                                                 const char* module_names);
MW_C_API mw_status mw_student_load_adapter(mw_student* student, const char* path);

/* The package the model came from, with the trained weights: .mlpackage or .mlmodelc by the name.
 * Weights that the stored dtype could not hold are told by the warnings of the last save. What the
 * function shares with others of the package changes in all of them, or, with the second form, in
 * this one alone. */
MW_C_API mw_status mw_student_save(mw_student* student, const char* path);
MW_C_API mw_status mw_student_save_only_function(mw_student* student, const char* path);
MW_C_API size_t mw_student_warning_count(const mw_student* student);
MW_C_API const char* mw_student_warning_at(const mw_student* student, size_t index);
/* Sentences on what mw_student_save does beside the function in training; valid as long as the
 * student. */
MW_C_API size_t mw_student_note_count(const mw_student* student);
MW_C_API const char* mw_student_note_at(const mw_student* student, size_t index);

/* A whole run: what `millwright train` does, from files of data to the written package, with the
 * same bits.
 *
 *   mw_settings* settings = NULL;
 *   mw_settings_create(&settings);
 *   mw_settings_set(settings, "data", "corpus.txt");
 *   mw_settings_set(settings, "output", "trained.mlpackage");
 *   mw_settings_set_number(settings, "steps", 200);
 *   const mw_training_report* report = NULL;
 *   if (mw_train(model, settings, NULL, NULL, &report) != MW_OK) puts(mw_last_error());
 *   mw_training_report_free(report);
 *   mw_settings_free(settings);
 */
typedef struct mw_training_step {
  int64_t step;   /* 0: before the first, with a validation loss only */
  int64_t tokens; /* labels that counted */
  double loss, valid_loss, grad_norm, learning_rate; /* NaN where one was not taken */
  double seconds;
} mw_training_step;

typedef struct mw_training_progress {
  mw_training_step taken;
  int64_t steps;     /* that the run is to take */
  double valid_loss; /* the last one taken, or NaN */
  double per_second; /* tokens of a text, else examples */
  double seconds_left;
} mw_training_progress;

/* Told after each step, in the thread of the call. Anything but 0 stops the run there: a checkpoint
 * and the report are written, no package, and with the setting `resume` it goes on. */
typedef int (*mw_tell_progress)(const mw_training_progress* progress, void* user);

typedef struct mw_training_report {
  int interrupted;   /* by the callback */
  int stopped_early; /* out of patience */
  int64_t step, written_step, best_step, tokens;
  double loss, valid_loss, best_loss, test_loss; /* NaN where one was not taken */
  double seconds, tokens_per_second;
  uint64_t step_bytes; /* as mw_student_step_bytes() */
  int64_t trained_numbers, all_numbers;
  const char* objective; /* what was minimised; this and those below: empty where there is none */
  const char *output, *adapter, *checkpoint;
  const char* html; /* the report as a page */
  const mw_training_step* steps;
  size_t step_count;
  const char* const* notes;
  size_t note_count;
  const char* const* warnings; /* as mw_student_warning_at() */
  size_t warning_count;
  void* held;
} mw_training_report;

/* `progress` may be NULL, and so may `report`, which is freed by mw_training_report_free(). Names
 * of the settings, those of a run among them, are in docs/settings.md. */
MW_C_API mw_status mw_train(const mw_model* model, const mw_settings* settings,
                            mw_tell_progress progress, void* user,
                            const mw_training_report** report);
/* The student learns from a teacher's predictions as well. */
MW_C_API mw_status mw_distill(const mw_model* student, const mw_model* teacher,
                              const mw_settings* settings, mw_tell_progress progress, void* user,
                              const mw_training_report** report);
MW_C_API void mw_training_report_free(const mw_training_report* report);

#ifdef __cplusplus
}
#endif

#endif /* MILLWRIGHT_H */
