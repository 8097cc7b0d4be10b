// The C API of training: options checked and turned into those of StudentModel.
#include "api/c_student.h"

#include <iterator>

using mw::c_api::guarded;
using mw::c_api::number_of;
using mw::c_api::outputs_of;
using mw::c_api::require;
using mw::c_api::wrap_all;

namespace {

std::vector<std::string> strings_of(const char* const* texts, size_t count, const char* missing) {
  require(texts != nullptr || count == 0, missing);
  std::vector<std::string> strings;
  for (size_t i = 0; i < count; ++i) {
    require(texts[i] != nullptr, missing);
    strings.emplace_back(texts[i]);
  }
  return strings;
}

mw::Optimizer optimizer_of(const mw_student_options& o) {
  constexpr mw_optimizer kKnown[] = {MW_ADAMW, MW_ADAM, MW_SGD};
  require(number_of(o.optimizer) < std::size(kKnown), "mw_student_create: unknown optimizer");
  if (o.optimizer == MW_SGD) {
    return mw::Sgd{o.learning_rate, o.momentum, o.weight_decay, o.nesterov != 0};
  }
  if (o.optimizer == MW_ADAM) {
    return mw::Adam{o.learning_rate, o.beta1, o.beta2, o.epsilon, o.weight_decay};
  }
  return mw::AdamW{o.learning_rate, o.beta1, o.beta2, o.epsilon, o.weight_decay};
}

mw::Schedule schedule_of(const mw_student_options& o) {
  using Kind = mw::Schedule::Kind;
  constexpr Kind kKinds[] = {Kind::kConstant, Kind::kLinear, Kind::kCosine};
  require(number_of(o.schedule) < std::size(kKinds), "mw_student_create: unknown schedule");
  return {.kind = kKinds[number_of(o.schedule)],
          .warmup_steps = o.warmup_steps,
          .total_steps = o.total_steps,
          .final_factor = o.final_factor};
}

std::optional<mw::Lora> lora_of(const mw_student_options& o) {
  if (o.lora_rank == 0) return std::nullopt;
  mw::Lora lora;
  lora.rank = o.lora_rank;
  lora.alpha = o.lora_alpha == 0 ? 2 * static_cast<float>(o.lora_rank) : o.lora_alpha;
  lora.seed = o.lora_seed;
  if (o.lora_targets != nullptr) {
    lora.targets =
        strings_of(o.lora_targets, o.lora_target_count, "mw_student_create: a target is NULL");
  }
  return lora;
}

mw::StudentOptions options_of(const mw_student_options& o) {
  require(o.size == sizeof(mw_student_options),
          "mw_student_create: options: expected a struct that mw_student_options_init has filled");
  constexpr mw::Loss kLosses[] = {mw::Loss::kCrossEntropy, mw::Loss::kMeanSquaredError,
                                  mw::Loss::kOutput, mw::Loss::kBinaryCrossEntropy};
  require(number_of(o.loss) < std::size(kLosses), "mw_student_create: unknown loss");
  mw::StudentOptions options;
  options.optimizer = optimizer_of(o);
  options.schedule = schedule_of(o);
  options.loss = kLosses[number_of(o.loss)];
  if (o.trainable != nullptr) {
    options.trainable =
        strings_of(o.trainable, o.trainable_count, "mw_student_create: a glob is NULL");
  }
  require(o.groups != nullptr || o.group_count == 0, "mw_student_create: groups is NULL");
  for (size_t i = 0; i < o.group_count; ++i) {
    const mw_parameter_group& group = o.groups[i];
    require(group.glob != nullptr, "mw_student_create: a group has no glob");
    options.groups.push_back({group.glob, group.learning_rate_factor, std::nullopt});
    if (!(group.weight_decay < 0)) options.groups.back().weight_decay = group.weight_decay;
  }
  if (o.target != nullptr) options.target = o.target;
  options.label_smoothing = o.label_smoothing;
  if (o.class_axis != MW_CLASS_AXIS_FROM_LABELS) options.class_axis = o.class_axis;
  require(o.pos_weight != nullptr || o.pos_weight_count == 0,
          "mw_student_create: pos_weight is NULL");
  options.pos_weight.assign(o.pos_weight, o.pos_weight + o.pos_weight_count);
  options.clip_norm = o.clip_norm;
  options.memory = o.memory;
  options.lora = lora_of(o);
  options.wrt_inputs =
      strings_of(o.wrt_inputs, o.wrt_input_count, "mw_student_create: an input's name is NULL");
  return options;
}

mw::Batch batch_of(const mw_batch& batch, const char* function) {
  require(batch.tensors != nullptr || batch.count == 0, "a batch has a count but no tensors");
  return mw::Batch(wrap_all(batch.tensors, batch.count, function));
}

void tell(const mw::StepResult& result, mw_step_result* told) {
  if (told == nullptr) return;
  *told = {result.step, result.tokens, result.loss, result.grad_norm, result.learning_rate};
}

}  // namespace

std::unique_ptr<mw_student> mw::c_api::make_student(const mw_model& model,
                                                    const StudentOptions& options) {
  auto made = std::make_unique<mw_student>(
      mw_student{mw::StudentModel(model.model, options), {}, {}, {}, {}, {}, {}});
  made->classes = made->student.class_labels();
  made->parameters = made->student.parameters();
  for (const mw::Parameter& p : made->parameters) {
    made->views.push_back({p.name.c_str(), p.shape.size(), p.shape.data(),
                           mw::name_of(p.stored).data(), p.trained ? 1 : 0, p.reason.c_str()});
  }
  made->notes = made->student.notes();
  return made;
}

mw_status mw_student_options_init(mw_student_options* options, mw_optimizer optimizer) {
  return guarded([&] {
    require(options != nullptr, "mw_student_options_init: options must not be NULL");
    require(number_of(optimizer) <= MW_SGD, "mw_student_options_init: unknown optimizer");
    const mw::AdamW adamw;
    const mw::Adam adam;
    const mw::Sgd sgd;
    mw_student_options o{};
    o.size = sizeof(o);
    o.optimizer = optimizer;
    o.learning_rate = optimizer == MW_ADAMW  ? adamw.learning_rate
                      : optimizer == MW_ADAM ? adam.learning_rate
                                             : sgd.learning_rate;
    o.weight_decay = optimizer == MW_ADAMW  ? adamw.weight_decay
                     : optimizer == MW_ADAM ? adam.weight_decay
                                            : sgd.weight_decay;
    o.beta1 = adam.beta1;
    o.beta2 = adam.beta2;
    o.epsilon = adam.epsilon;
    o.momentum = sgd.momentum;
    o.class_axis = MW_CLASS_AXIS_FROM_LABELS;
    *options = o;
  });
}

mw_status mw_student_create(const mw_model* model, const mw_student_options* options,
                            mw_student** student) {
  return guarded([&] {
    require(model != nullptr && student != nullptr,
            "mw_student_create: model and student must not be NULL");
    const mw::StudentOptions chosen =
        options == nullptr ? mw::StudentOptions{} : options_of(*options);
    *student = mw::c_api::make_student(*model, chosen).release();
  });
}
void mw_student_free(mw_student* student) { delete student; }

mw_status mw_student_set_teacher(mw_student* student, const mw_model* teacher,
                                 const mw_distill_options* options) {
  return guarded([&] {
    require(student != nullptr && teacher != nullptr,
            "mw_student_set_teacher: student and teacher must not be NULL");
    mw::DistillOptions chosen;
    if (options != nullptr) {
      chosen.temperature = options->temperature;
      chosen.alpha = options->alpha;
      if (options->target != nullptr) chosen.target = options->target;
      if (options->cache != nullptr) chosen.cache = options->cache;
      chosen.top_k = options->top_k;
    }
    student->student.set_teacher(teacher->model, chosen);
  });
}

mw_status mw_student_step(mw_student* student, const mw_batch* batches, size_t batch_count,
                          mw_step_result* result) {
  return guarded([&] {
    require(student != nullptr && batches != nullptr,
            "mw_student_step: student and batches must not be NULL");
    std::vector<mw::Batch> all;
    for (size_t i = 0; i < batch_count; ++i) {
      all.push_back(batch_of(batches[i], "mw_student_step"));
    }
    tell(student->student.training_step(all), result);
  });
}

mw_status mw_student_backward(mw_student* student, const mw_batch* batch, mw_outputs** gradients,
                              mw_step_result* result) {
  return guarded([&] {
    require(student != nullptr && batch != nullptr && gradients != nullptr,
            "mw_student_backward: student, batch and gradients must not be NULL");
    mw::StepResult facts;
    const mw::TensorMap named =
        student->student.backward(batch_of(*batch, "mw_student_backward"), &facts);
    *gradients = outputs_of(named);
    tell(facts, result);
  });
}

mw_status mw_student_evaluate(mw_student* student, const mw_batch* batch, mw_step_result* result) {
  return guarded([&] {
    require(student != nullptr && batch != nullptr,
            "mw_student_evaluate: student and batch must not be NULL");
    tell(student->student.evaluate(batch_of(*batch, "mw_student_evaluate")), result);
  });
}

mw_status mw_student_objective(mw_student* student, const mw_batch* batch, const char** text) {
  return guarded([&] {
    require(student != nullptr && batch != nullptr && text != nullptr,
            "mw_student_objective: student, batch and text must not be NULL");
    student->objective = student->student.objective(batch_of(*batch, "mw_student_objective"));
    *text = student->objective.c_str();
  });
}

size_t mw_student_class_count(const mw_student* student) {
  return student == nullptr ? 0 : student->classes.size();
}
const char* mw_student_class_at(const mw_student* student, size_t index) {
  return index < mw_student_class_count(student) ? student->classes[index].c_str() : nullptr;
}

uint64_t mw_student_step_bytes(const mw_student* student) {
  return student == nullptr ? 0 : student->student.step_bytes();
}

mw_status mw_student_predict(mw_student* student, const mw_tensor* inputs, size_t input_count,
                             mw_outputs** outputs) {
  return guarded([&] {
    require(student != nullptr && outputs != nullptr && (inputs != nullptr || input_count == 0),
            "mw_student_predict: student, inputs and outputs must not be NULL");
    *outputs =
        outputs_of(student->student.predict(wrap_all(inputs, input_count, "mw_student_predict")));
  });
}

size_t mw_student_parameter_count(const mw_student* student) {
  return student == nullptr ? 0 : student->views.size();
}
const mw_parameter* mw_student_parameter_at(const mw_student* student, size_t index) {
  return index < mw_student_parameter_count(student) ? &student->views[index] : nullptr;
}

mw_status mw_student_get_parameter(const mw_student* student, const char* name,
                                   mw_outputs** value) {
  return guarded([&] {
    require(student != nullptr && name != nullptr && value != nullptr,
            "mw_student_get_parameter: student, name and value must not be NULL");
    *value = outputs_of({{name, student->student.get_parameter(name)}});
  });
}

mw_status mw_student_set_parameter(mw_student* student, const mw_tensor* value) {
  return guarded([&] {
    require(student != nullptr && value != nullptr,
            "mw_student_set_parameter: student and value must not be NULL");
    for (const auto& [name, tensor] : wrap_all(value, 1, "mw_student_set_parameter")) {
      student->student.set_parameter(name, tensor);
    }
  });
}

mw_status mw_student_save_weights(const mw_student* student, const char* path) {
  return guarded([&] {
    require(student != nullptr && path != nullptr,
            "mw_student_save_weights: student and path must not be NULL");
    student->student.save_weights(path);
  });
}

mw_status mw_student_load_weights(mw_student* student, const char* path) {
  return guarded([&] {
    require(student != nullptr && path != nullptr,
            "mw_student_load_weights: student and path must not be NULL");
    student->student.load_weights(path);
  });
}

mw_status mw_student_state(const mw_student* student, mw_outputs** state) {
  return guarded([&] {
    require(student != nullptr && state != nullptr,
            "mw_student_state: student and state must not be NULL");
    *state = outputs_of(student->student.state());
  });
}

mw_status mw_student_load_state(mw_student* student, const mw_tensor* tensors, size_t count) {
  return guarded([&] {
    require(student != nullptr && (tensors != nullptr || count == 0),
            "mw_student_load_state: student and tensors must not be NULL");
    student->student.load_state(wrap_all(tensors, count, "mw_student_load_state"));
  });
}

mw_status mw_student_save_checkpoint(const mw_student* student, const char* path) {
  return guarded([&] {
    require(student != nullptr && path != nullptr,
            "mw_student_save_checkpoint: student and path must not be NULL");
    student->student.save_checkpoint(path);
  });
}
mw_status mw_student_load_checkpoint(mw_student* student, const char* path) {
  return guarded([&] {
    require(student != nullptr && path != nullptr,
            "mw_student_load_checkpoint: student and path must not be NULL");
    student->student.load_checkpoint(path);
  });
}

mw_status mw_student_save_adapter(const mw_student* student, const char* path) {
  return guarded([&] {
    require(student != nullptr && path != nullptr,
            "mw_student_save_adapter: student and path must not be NULL");
    student->student.save_adapter(path);
  });
}
mw_status mw_student_save_adapter_named(const mw_student* student, const char* path,
                                        const char* module_names) {
  return guarded([&] {
    require(student != nullptr && path != nullptr,
            "mw_student_save_adapter_named: student and path must not be NULL");
    student->student.save_adapter(path, module_names == nullptr ? "" : module_names);
  });
}
mw_status mw_student_load_adapter(mw_student* student, const char* path) {
  return guarded([&] {
    require(student != nullptr && path != nullptr,
            "mw_student_load_adapter: student and path must not be NULL");
    student->student.load_adapter(path);
  });
}

mw_status mw_student_save(mw_student* student, const char* path) {
  return guarded([&] {
    require(student != nullptr && path != nullptr,
            "mw_student_save: student and path must not be NULL");
    student->warnings = student->student.save(path);
  });
}
mw_status mw_student_save_only_function(mw_student* student, const char* path) {
  return guarded([&] {
    require(student != nullptr && path != nullptr,
            "mw_student_save_only_function: student and path must not be NULL");
    student->warnings = student->student.save(path, {.only_function = true});
  });
}
size_t mw_student_note_count(const mw_student* student) {
  return student == nullptr ? 0 : student->notes.size();
}
const char* mw_student_note_at(const mw_student* student, size_t index) {
  return index < mw_student_note_count(student) ? student->notes[index].c_str() : nullptr;
}
size_t mw_student_warning_count(const mw_student* student) {
  return student == nullptr ? 0 : student->warnings.size();
}
const char* mw_student_warning_at(const mw_student* student, size_t index) {
  return index < mw_student_warning_count(student) ? student->warnings[index].c_str() : nullptr;
}
